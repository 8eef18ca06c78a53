using System.Text.Json;
using MLNet.SDN.Agent.Configuration;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Marking;

/// <summary>What a policy in a file would change in the kernel, told without changing anything: <c>mlnet-agent policy --diff|--dry-run FILE</c>.</summary>
internal static class PolicyPreview
{
    /// <summary>Prints the lines of our table that would go and come, against the policy that this host has saved.</summary>
    /// <returns>Exit code: 0 told, 1 the policy would be refused, or cannot be read.</returns>
    public static Task<int> DiffAsync(AgentOptions options, string path, TextWriter output, TextWriter error) => ShowAsync(options, path, output, error, (saved, next) =>
    {
        var difference = TextDifference.Of(Plain(Rendered(options, saved)), Plain(Rendered(options, next)));
        output.Write(difference.Count == 0 ? "Nothing would change.\n" : string.Concat(difference.Select(line => line + "\n")));
        return Task.FromResult(0);
    });

    /// <summary>Prints the transaction that would be loaded, after the kernel has checked it where this process may ask it to.</summary>
    /// <param name="nft">The program; its check loads nothing.</param>
    /// <inheritdoc cref="DiffAsync"/>
    public static Task<int> DryRunAsync(AgentOptions options, string path, SystemProgram nft, TextWriter output, TextWriter error) =>
        ShowAsync(options, path, output, error, async (_, next) =>
        {
            var transaction = Rendered(options, next);
            output.Write(transaction);
            var check = await nft.RunAsync(["--check", "-f", "-"], transaction, CancellationToken.None);
            if (check.Succeeded)
            {
                return 0;
            }

            var isUnasked = check.ExitCode is null || check.Error.Contains("not permitted", StringComparison.Ordinal);
            error.WriteLine(isUnasked ? $"mlnet-agent: the kernel was not asked: {check.Error.Trim()}" : $"mlnet-agent: the kernel would refuse this: {check.Error.Trim()}");
            return isUnasked ? 0 : 1;
        });

    private static async Task<int> ShowAsync(
        AgentOptions options, string path, TextWriter output, TextWriter error, Func<InstalledPolicy, InstalledPolicy, Task<int>> show)
    {
        var store = new PolicyStore(options.StateDirectory, options.Host);
        HostPolicy? saved;
        InstalledPolicy inForce;
        try
        {
            saved = store.Load();
            inForce = saved is null ? InstalledPolicy.None : PolicyRules.Read(saved, options.Host, out _, options.AllowedDscp) ?? InstalledPolicy.None;
        }
        catch (Exception exception) when (exception is IOException or JsonException or UnauthorizedAccessException)
        {
            error.WriteLine($"mlnet-agent: {store.FilePath}: the saved policy, to compare with, cannot be read: {exception.Message}");
            return 1;
        }
        catch (Exception exception) when (exception is NullReferenceException or ArgumentNullException)
        {
            error.WriteLine($"mlnet-agent: {store.FilePath}: the saved policy, to compare with, holds null where a value is needed.");
            return 1;
        }

        if (Directory.Exists(path))
        {
            error.WriteLine($"mlnet-agent: {path}: this is a directory; name the file of a policy.");
            return 1;
        }

        try
        {
            using var file = path == "-" ? Console.OpenStandardInput() : File.OpenRead(path);
            var policy = await JsonSerializer.DeserializeAsync(file, ContractsJson.Default.HostPolicy) ?? throw new JsonException("The file holds null.");
            if (saved is not null && policy.Revision < saved.Revision)
            {
                error.WriteLine($"mlnet-agent: {path}: revision {policy.Revision} is older than {saved.Revision}, which is in force: an agent refuses it.");
                return 1;
            }

            if (PolicyRules.Read(policy, options.Host, out var faults, options.AllowedDscp) is not { } next)
            {
                foreach (var fault in faults)
                {
                    error.WriteLine($"mlnet-agent: {path}: {fault.Field} = '{fault.Value}': {fault.Message}");
                }

                return 1;
            }

            return await show(inForce, next);
        }
        catch (Exception exception) when (exception is IOException or JsonException or UnauthorizedAccessException or ArgumentException and not ArgumentNullException)
        {
            error.WriteLine($"mlnet-agent: {path}: the policy cannot be read: {exception.Message}");
        }
        catch (Exception exception) when (exception is NullReferenceException or ArgumentNullException)
        {
            error.WriteLine($"mlnet-agent: {path}: the policy holds null where a value is needed.");
        }

        return 1;
    }

    private static string Rendered(AgentOptions options, InstalledPolicy policy)
    {
        var groups = CgroupTree.Find(out _);
        return Ruleset.Render(policy, options.Aggregate ? options.DataPort : null, path => groups?[path]);
    }

    // Without the comment that tells one ruleset from another, which changes with anything.
    private static string[] Plain(string rendered) =>
        rendered == Ruleset.Removal ? [] : (Ruleset.MarkerOf(rendered) is { } marker ? rendered.Replace(marker, "", StringComparison.Ordinal) : rendered).Split('\n', StringSplitOptions.RemoveEmptyEntries);
}
