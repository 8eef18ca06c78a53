using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace MLNet.SDN.Benchmarks;

/// <summary>Two hosts joined by a cable: network namespaces with a veth pair. Gone when disposed.</summary>
internal sealed class HostCable : IDisposable
{
    /// <summary>The sender's end.</summary>
    public const string Near = "mlb0";

    /// <summary>The receiver's end.</summary>
    public const string Far = "mlb1";

    /// <param name="addressed">Give both ends addresses: 10.99.0.1 and .2. Without, nothing but the sender's own frames is on the cable.</param>
    public HostCable(bool addressed)
    {
        var id = Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
        (Sender, Receiver) = ($"mlb-s{id}", $"mlb-r{id}");
        Output("ip", "netns", "add", Sender);
        Output("ip", "netns", "add", Receiver);
        Output("ip", "link", "add", Near, "netns", Sender, "type", "veth", "peer", "name", Far, "netns", Receiver);
        foreach (var (host, name, number) in new[] { (Sender, Near, 1), (Receiver, Far, 2) })
        {
            // No neighbour discovery, no router solicitations.
            Output("ip", "netns", "exec", host, "sysctl", "-qw", $"net.ipv6.conf.{name}.disable_ipv6=1");
            if (addressed)
            {
                Output("ip", "-n", host, "addr", "add", $"10.99.0.{number}/24", "dev", name);
            }

            Output("ip", "-n", host, "link", "set", "lo", "up");
            Output("ip", "-n", host, "link", "set", name, "up");
        }

        FarMac = Regex.Match(Output("ip", "-n", Receiver, "link", "show", Far), "link/ether ([0-9a-f:]+)").Groups[1].Value;
    }

    /// <summary>The sender's namespace.</summary>
    public string Sender { get; }

    /// <summary>The receiver's namespace.</summary>
    public string Receiver { get; }

    /// <summary>Link-layer address of the far end.</summary>
    public string FarMac { get; }

    /// <summary>Runs a program to its end and gives what it printed.</summary>
    /// <exception cref="InvalidOperationException">It failed.</exception>
    public static string Output(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? output : throw new InvalidOperationException($"{program} {string.Join(' ', arguments)}: {error.Result}");
    }

    /// <summary>Loads nftables rules into a namespace.</summary>
    public static void Load(string host, string rules)
    {
        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, rules);
            Output("ip", "netns", "exec", host, "nft", "-f", path);
        }
        finally
        {
            File.Delete(path);
        }
    }

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (var host in new[] { Sender, Receiver })
        {
            using var delete = Process.Start("ip", ["netns", "del", host]);
            delete.WaitForExit();
        }
    }
}
