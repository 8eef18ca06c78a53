using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Queues;

/// <summary>Keeps the queues of the data interfaces as the policy's ladder wants them. One caller at a time.</summary>
/// <remarks>
/// Only an interface whose root queue is the kernel's own (handle 0) or ours is touched: what somebody chose stays. So taking ours out brings back what was
/// there, which the kernel makes anew. tc has no transactions: for the milliseconds between its lines packets pass unshaped, and none is dropped.
/// </remarks>
internal sealed partial class QueueKeeper
{
    private readonly SystemProgram tc;
    private readonly IReadOnlyList<string> interfaces;
    private readonly ILogger logger;
    private readonly SortedDictionary<string, string> limits = new(StringComparer.Ordinal);

    /// <summary>Creates a keeper that has looked at nothing yet.</summary>
    public QueueKeeper(SystemProgram tc, IReadOnlyList<string> interfaces, ILogger logger) => (this.tc, this.interfaces, this.logger) = (tc, interfaces, logger);

    /// <summary>Why an interface has no queues of ours, in words; null when all have.</summary>
    public string? Limit { get; private set; } = "no policy has told the link's rate yet";

    /// <summary>What serves the ladder on each interface now: <see cref="QueueDisciplines.Used"/>, or why nothing of ours does. Safe to read from any thread.</summary>
    public IReadOnlyDictionary<string, string> Served { get; private set; } = new Dictionary<string, string>();

    /// <summary>Applies a policy's ladder. Nothing happens where it is in force already.</summary>
    public async Task ApplyAsync(HostPolicy policy, CancellationToken cancellationToken)
    {
        limits.Clear();
        foreach (var name in interfaces)
        {
            if (policy.LinkRateBitsPerSecond <= 0)
            {
                limits[name] = "the policy does not tell the link's rate";
            }
            else if (await ApplyAsync(name, EgressQueues.Render(name, policy.LinkRateBitsPerSecond, policy.Ladder), cancellationToken) is { } reason)
            {
                limits[name] = reason;
            }
        }

        Served = interfaces.ToDictionary(name => name, name => limits.GetValueOrDefault(name) is { } reason ? $"not ours: {reason}" : QueueDisciplines.Used, StringComparer.Ordinal);
        var limit = limits.Count == 0 ? null : string.Join("; ", limits.Select(l => $"{l.Key}: {l.Value}"));
        if (limit is not null && limit != Limit)
        {
            QueueLog.Unavailable(logger, limit);
        }

        Limit = limit;
    }

    /// <summary>Takes our queues out of every interface of this network namespace, whoever made them.</summary>
    /// <returns>Null when none is left; else why not.</returns>
    public static async Task<string?> RemoveAllAsync(SystemProgram tc, CancellationToken cancellationToken)
    {
        var list = await tc.RunAsync(["qdisc", "show"], null, cancellationToken);
        if (!list.Succeeded)
        {
            return list.Error;
        }

        foreach (Match match in OurRoot().Matches(list.Output))
        {
            var result = await tc.RunAsync(["qdisc", "del", "dev", match.Groups[1].Value, "root"], null, cancellationToken);
            if (!result.Succeeded)
            {
                return result.Error;
            }
        }

        return null;
    }

    private async Task<string?> ApplyAsync(string name, string rendered, CancellationToken cancellationToken)
    {
        var root = await tc.RunAsync(["qdisc", "show", "dev", name, "root"], null, cancellationToken);
        if (!root.Succeeded)
        {
            return root.Error;
        }

        var isOurs = root.Output.StartsWith($"qdisc htb {EgressQueues.Handle} ", StringComparison.Ordinal);
        if (isOurs && rendered.Split('\n')[0].Split(" htb ")[1].Split(' ') is [.., "r2q", var digest] && root.Output.Contains($" r2q {digest} ", StringComparison.Ordinal))
        {
            return null;
        }

        if (!isOurs && root.Output.Length > 0 && !KernelsOwn().IsMatch(root.Output))
        {
            return $"its queue is somebody's choice and stays ({root.Output.Split('\n')[0].Trim()})";
        }

        var removal = isOurs ? $"qdisc del dev {name} root\n" : "";
        var result = await tc.RunAsync(["-batch", "-"], removal + rendered, cancellationToken);
        if (!result.Succeeded)
        {
            // Nothing half-made: back to the kernel's own.
            _ = await tc.RunAsync(["qdisc", "del", "dev", name, "root"], null, cancellationToken);
            return $"tc refused the queues: {result.Error.Split('\n')[0]}";
        }

        QueueLog.Loaded(logger, name);
        return null;
    }

    [GeneratedRegex(@"^qdisc htb 6d6c: dev (\S+) root", RegexOptions.Multiline | RegexOptions.CultureInvariant)]
    private static partial Regex OurRoot();

    [GeneratedRegex(@"^qdisc \S+ 0: ", RegexOptions.CultureInvariant)]
    private static partial Regex KernelsOwn();
}
