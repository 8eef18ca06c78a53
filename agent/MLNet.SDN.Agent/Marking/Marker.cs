using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging;

namespace MLNet.SDN.Agent.Marking;

/// <summary>Keeps our nftables table as the policy wants it. One caller at a time.</summary>
internal sealed partial class Marker
{
    private readonly SystemProgram nft;
    private readonly ILogger logger;
    private string? loaded;
    private string held = "";
    private string? expected;

    /// <summary>Creates a marker that has looked at nothing yet.</summary>
    public Marker(SystemProgram nft, ILogger logger)
    {
        this.nft = nft;
        this.logger = logger;
    }

    /// <summary>Why nothing can be marked here; null when it can.</summary>
    public string? Unavailable { get; private set; } = "marking has not been tried yet";

    /// <summary>SHA-256, hex, of our table as the kernel listed it last; that of nothing when there is none.</summary>
    public string Hash { get; private set; } = HashOf("");

    /// <summary>What is wrong with the marks now, in words; null when nothing is.</summary>
    public string? Trouble { get; private set; }

    /// <summary>Finds out whether this process may mark, and what a former one left.</summary>
    public async Task ProbeAsync(CancellationToken cancellationToken)
    {
        var (text, error) = await ListAsync(cancellationToken);
        if (text is null)
        {
            Disable(error.Contains("not permitted", StringComparison.Ordinal) ? "this process may not use nftables: give it CAP_NET_ADMIN" : error);
            return;
        }

        Unavailable = null;
        Hash = HashOf(text);
    }

    /// <summary>Finds out whether the kernel and nft can ask for the control group of a socket (Linux 5.13, nftables 0.9.9). Loads nothing.</summary>
    /// <param name="root">What nft calls the root of the groups.</param>
    /// <param name="cancellationToken">Abandons.</param>
    /// <returns>Null when they can; else why not.</returns>
    public async Task<string?> ProbeCgroupsAsync(string root, CancellationToken cancellationToken)
    {
        var result = await nft.RunAsync(
            ["--check", "-f", "-"],
            $"table {Ruleset.Table} {{\n\tchain output {{\n\t\ttype filter hook output priority -90; policy accept;\n\t\tsocket cgroupv2 level 1 \"{root}\" accept\n\t}}\n}}\n",
            cancellationToken);
        return result.Succeeded ? null : $"nft or the kernel cannot ask for a socket's control group: {result.Error.Trim().Split('\n')[0]}";
    }

    /// <summary>Switches marking off.</summary>
    /// <param name="reason">Why, for the operator.</param>
    public void Disable(string reason)
    {
        Unavailable = reason;
        MarkingLog.Unavailable(logger, reason);
    }

    /// <summary>Loads a ruleset in one transaction and reads it back. Does nothing when the kernel holds it already, or when marking is unavailable.</summary>
    /// <param name="rendered">Text of <see cref="Ruleset.Render"/>.</param>
    /// <param name="cancellationToken">Abandons; the kernel then holds the old or the new one whole.</param>
    /// <returns>Null when the kernel holds it; else what went wrong.</returns>
    public async Task<string?> ApplyAsync(string rendered, CancellationToken cancellationToken)
    {
        if (Unavailable is not null)
        {
            return null;
        }

        if (rendered == loaded && await ReadBackAsync(rendered, cancellationToken) is null && held == expected)
        {
            return null;
        }

        // What was changed behind our back is made anew; else only the rules are exchanged.
        var error = await LoadAsync(rendered, rendered == loaded ? Ruleset.Anew(rendered) : rendered, cancellationToken);
        if (error is not null && rendered != Ruleset.Anew(rendered))
        {
            error = await LoadAsync(rendered, Ruleset.Anew(rendered), cancellationToken);
        }

        if (error is null)
        {
            MarkingLog.Loaded(logger, Hash);
        }

        return error;
    }

    /// <summary>Puts the table back when somebody changed it.</summary>
    /// <returns>True when it had to be put back.</returns>
    public async Task<bool> RepairAsync(CancellationToken cancellationToken)
    {
        if (Unavailable is not null || loaded is null)
        {
            return false;
        }

        var error = await ReadBackAsync(loaded, cancellationToken);
        if (error is null && held == expected)
        {
            Trouble = null;
            return false;
        }

        error = await LoadAsync(loaded, Ruleset.Anew(loaded), cancellationToken);
        if (error is not null)
        {
            MarkingLog.RepairFailed(logger, error);
            return false;
        }

        MarkingLog.DriftRepaired(logger);
        return true;
    }

    /// <summary>Takes our table out, whoever made it.</summary>
    /// <returns>Null when it is gone; else why not.</returns>
    public async Task<string?> RemoveAsync(CancellationToken cancellationToken)
    {
        var result = await nft.RunAsync(["-f", "-"], Ruleset.Removal, cancellationToken);
        loaded = null;
        return result.Succeeded ? null : result.Error;
    }

    [GeneratedRegex("\"[^\"]*\"")]
    private static partial Regex Quoted();

    private static string WithoutGroupNames(string text) => !text.Contains("socket cgroupv2", StringComparison.Ordinal) ? text
        : string.Join('\n', text.Split('\n').Select(line => line.Contains("socket cgroupv2", StringComparison.Ordinal) ? Quoted().Replace(line, "") : line));

    private static string HashOf(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    private async Task<string?> LoadAsync(string rendered, string transaction, CancellationToken cancellationToken)
    {
        var result = await nft.RunAsync(["-f", "-"], transaction, cancellationToken);
        var error = result.Succeeded ? await ReadBackAsync(rendered, cancellationToken) : $"nft refused the ruleset: {result.Error}";
        if (error is null)
        {
            loaded = rendered;
            expected = held;
        }

        Trouble = error;
        return error;
    }

    private async Task<string?> ReadBackAsync(string rendered, CancellationToken cancellationToken)
    {
        var (text, error) = await ListAsync(cancellationToken);
        if (text is null)
        {
            return $"reading back failed: {error}";
        }

        // nft looks for a group by its number, and calls one that is gone by the name of whatever file has that number: our marker says which groups these are.
        (Hash, held) = (HashOf(text), WithoutGroupNames(text));
        var marker = Ruleset.MarkerOf(rendered);
        var isThere = marker is null ? text.Length == 0 : text.Contains(marker, StringComparison.Ordinal);
        return isThere ? null : "the kernel does not hold what was loaded; does another program rewrite the table?";
    }

    // Without counters (-s), which change by themselves, and without names from /etc/services (-n).
    private async Task<(string? Text, string Error)> ListAsync(CancellationToken cancellationToken)
    {
        var result = await nft.RunAsync(["-s", "-n", "list", "table", .. Ruleset.Table.Split(' ')], null, cancellationToken);
        return result.Succeeded ? (result.Output, "")
            : result.ExitCode is not null && result.Error.Contains("No such file or directory", StringComparison.Ordinal) ? ("", "")
            : (null, result.Error);
    }
}
