using System.CommandLine;

namespace MLNet.SDN.Cli.Jobs;

/// <summary>The argument that names a job of a running controller.</summary>
internal static class JobArgument
{
    /// <summary>Makes the argument <c>JOB</c>.</summary>
    public static Argument<string> Create(string description)
    {
        var job = new Argument<string>("JOB") { Description = description };
        job.Validators.Add(r =>
        {
            // These would not name a job in the address but one of the paths above it.
            if (r.Tokens is [var token] && (string.IsNullOrWhiteSpace(token.Value) || token.Value is "." or ".."))
            {
                r.AddError($"'{token.Value}' is no job's name or number; mlnetctl job list shows those there are.");
            }
        });
        return job;
    }

    /// <summary>The job's part of an address.</summary>
    public static string Segment(ParseResult parsed) => Uri.EscapeDataString(parsed.GetRequiredValue<string>("JOB"));
}
