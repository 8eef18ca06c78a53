using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Marking;

/// <summary>Renders what nftables is to hold for a policy: one table of our own, made whole. Pure.</summary>
/// <remarks>
/// The text is one transaction, and it keeps the chains that packets enter by: what changes are the rules in them. A packet reads the generation of rules once
/// as it enters, so that it meets the old ones or the new ones. (Were the table deleted and made anew, the kernel would for a moment have both chains,
/// the new one first, and a packet between the two when the generation changes would meet neither: seen for one packet in a million.) What <see cref="SelectorRules"/> makes
/// keeps to what the kernel exchanges at that instant. Chains of levels that are no longer used stay, empty, until nothing is to be marked.
/// A packet enters by one chain: by output when a socket of this host sends it, by forward when it comes from a container. Both are behind routing and destination NAT, and before
/// source NAT hides where a packet comes from. Whose socket it is the kernel tells reliably in output only, so rules that name a process stand there, before the others.
/// The ECN bits stay (RFC 3168 §5: only the six bits of the code point are set). A job without a mark gets no rule: its packets keep what they carry.
/// </remarks>
internal static class Ruleset
{
    /// <summary>Our table. Nothing outside it is ever read or touched.</summary>
    public const string Table = "inet mlnet_sdn";

    /// <summary>Removes the table, also when there is none.</summary>
    public const string Removal = $"table {Table}\ndelete table {Table}\n";

    private const string MarkerPrefix = "mlnet-agent ";

    // Where the marker goes. Two quotation marks in a row stand nowhere else.
    private const string Unmarked = "comment \"\"";

    // Destination NAT is at -100.
    private const string Output = "type filter hook output priority -90; policy accept;";
    private const string Forward = "type filter hook forward priority -90; policy accept;";
    private const string Emptied = $"table {Table} {{\n\tchain output {{\n\t\t{Output}\n\t}}\n\tchain forward {{\n\t\t{Forward}\n\t}}\n}}\nflush table {Table}\n";

    /// <summary>Renders the transaction.</summary>
    /// <param name="policy">The policy.</param>
    /// <param name="dataPort">TCP port on which this host's data plane listens; null when it has none.</param>
    /// <param name="cgroup">Looks for a control group; null where there is none now, and then its selectors are left out.</param>
    /// <returns>Text for <c>nft -f -</c>; only <see cref="Removal"/> when nothing is to be marked.</returns>
    public static string Render(InstalledPolicy policy, int? dataPort, Func<string, Cgroup?>? cgroup = null)
    {
        var groups = policy.Cgroups.Select(path => (path, Found: cgroup?.Invoke(path))).Where(g => g.Found is not null).ToDictionary(g => g.path, g => g.Found!.Value, StringComparer.Ordinal);
        var selectors = policy.Selectors.Where(s => s.Cgroup is null || groups.ContainsKey(s.Cgroup)).Select(s => s.Cgroup is null ? s : s with { Cgroup = groups[s.Cgroup].Name }).ToList();
        var marked = selectors.Where(s => s.Dscp != Dscp.Default).ToList();
        if (marked.Count == 0)
        {
            return Removal;
        }

        // All selectors, not just those that mark: one of an unmarked job that comes first keeps its packets from those behind it.
        // What comes after the last rule that marks cannot matter.
        var deciding = selectors.Take(selectors.FindLastIndex(s => s.Dscp != Dscp.Default) + 1).ToList();
        var own = OwnSockets(policy, dataPort);
        var ofProcesses = deciding.Exists(s => s.NamesProcess) ? own + Rules(deciding.Where(s => s.NamesProcess)) : "";
        var ofAll = own + Rules(deciding.Where(s => !s.NamesProcess));

        var classes = new StringBuilder();
        foreach (var dscp in marked.Select(s => s.Dscp).Distinct().OrderBy(d => d.Value))
        {
            classes.Append(CultureInfo.InvariantCulture, $"\tchain {Chain(dscp)} {{\n");
            classes.Append(CultureInfo.InvariantCulture, $"\t\tmeta nfproto ipv4 counter ip dscp set {dscp.Value} accept\n");
            classes.Append(CultureInfo.InvariantCulture, $"\t\tmeta nfproto ipv6 counter ip6 dscp set {dscp.Value} accept\n\t}}\n");
        }

        var body = $"{classes}\tchain selected {{\n{ofAll}\t}}\n"
            + $"\tchain output {{\n\t\t{Output}\n\t\toifname \"lo\" accept {Unmarked}\n{ofProcesses}\t\tjump selected\n\t}}\n"
            + $"\tchain forward {{\n\t\t{Forward}\n\t\tjump selected\n\t}}\n";

        // The kernel holds the groups' numbers: a group that went and came back needs new rules with the same text.
        var marker = Marker(string.Join(' ', groups.Values.Select(g => g.Number).Order().Select(n => n.ToString(CultureInfo.InvariantCulture)).Prepend(body)));
        return $"{Emptied}table {Table} {{\n{body.Replace(Unmarked, $"comment \"{marker}\"", StringComparison.Ordinal)}}}\n";
    }

    /// <summary>The comment that a rendered text leaves in the kernel, so that what is read back can be told to come from this text; null when it leaves nothing.</summary>
    public static string? MarkerOf(string rendered)
    {
        var start = rendered.IndexOf(MarkerPrefix, StringComparison.Ordinal);
        return start < 0 ? null : rendered[start..rendered.IndexOf('"', start)];
    }

    /// <summary>The same made anew from nothing, for a table that is not what it should be.</summary>
    public static string Anew(string rendered) => rendered.StartsWith(Removal, StringComparison.Ordinal) ? rendered : Removal + rendered;

    private static string Marker(string body) =>
        MarkerPrefix + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(body)).AsSpan(0, 8));

    private static string Chain(Dscp dscp) => string.Create(CultureInfo.InvariantCulture, $"dscp_{dscp.Value}");

    private static string Rules(IEnumerable<SelectorMatch> selectors) =>
        string.Concat(SelectorRules.Make(selectors, dscp => dscp == Dscp.Default ? "accept" : $"goto {Chain(dscp)}").Select(rule => $"\t\t{rule}\n"));

    // Sockets of the data plane mark themselves, at round boundaries: a selector must not rewrite them in the middle of a burst.
    private static string OwnSockets(InstalledPolicy policy, int? dataPort)
    {
        var rules = new StringBuilder();
        if (dataPort is not null)
        {
            rules.Append(CultureInfo.InvariantCulture, $"\t\ttcp sport {dataPort} accept\n");
        }

        var peers = policy.AggregationJobs.SelectMany(j => j.Endpoints).Select(e => e.Address).Distinct().ToList();
        foreach (var (family, keyword) in new[] { (AddressFamily.InterNetwork, "ip"), (AddressFamily.InterNetworkV6, "ip6") })
        {
            var elements = peers.Where(p => p.AddressFamily == family)
                .Select(p => string.Create(CultureInfo.InvariantCulture, $"{p.Address} . {p.Port}")).Order(StringComparer.Ordinal).ToList();
            if (elements.Count > 0)
            {
                rules.Append(CultureInfo.InvariantCulture, $"\t\t{keyword} daddr . tcp dport {{ {string.Join(", ", elements)} }} accept\n");
            }
        }

        return rules.ToString();
    }
}
