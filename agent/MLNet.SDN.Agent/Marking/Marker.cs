using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;

namespace MLNet.SDN.Agent.Marking;

/// <summary>Keeps our nftables table as the policy wants it. One caller at a time.</summary>
internal sealed class Marker
{
    private readonly SystemProgram nft;
    private readonly ILogger logger;
    private string? loaded;
    private string? expectedHash;

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

        if (rendered == loaded && await ReadBackAsync(rendered, cancellationToken) is null && Hash == expectedHash)
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
        if (error is null && Hash == expectedHash)
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

    private static string HashOf(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    private async Task<string?> LoadAsync(string rendered, string transaction, CancellationToken cancellationToken)
    {
        var result = await nft.RunAsync(["-f", "-"], transaction, cancellationToken);
        var error = result.Succeeded ? await ReadBackAsync(rendered, cancellationToken) : $"nft refused the ruleset: {result.Error}";
        if (error is null)
        {
            loaded = rendered;
            expectedHash = Hash;
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

        Hash = HashOf(text);
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
