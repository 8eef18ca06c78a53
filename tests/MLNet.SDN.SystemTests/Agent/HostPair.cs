using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace MLNet.SDN.SystemTests.Agent;

/// <summary>Two hosts joined by a cable: network namespaces with a veth pair, 10.99.0.1 and .2, 2001:db8:99::1 and ::2. Gone when disposed.</summary>
internal sealed partial class HostPair : IDisposable
{
    public const string LeftAddress = "10.99.0.1";
    public const string RightAddress = "10.99.0.2";
    public const string LeftInterface = "left0";
    public const string RightInterface = "right0";

    private const int NewNetworkNamespace = 0x40000000;
    private static int made;

    public HostPair()
    {
        var id = $"{Environment.ProcessId % 100_000}-{Interlocked.Increment(ref made)}";
        (Left, Right) = ($"nsAGl{id}", $"nsAGr{id}");
        Run("ip", "netns", "add", Left);
        Run("ip", "netns", "add", Right);
        Run("ip", "link", "add", LeftInterface, "netns", Left, "type", "veth", "peer", "name", RightInterface, "netns", Right);
        foreach (var (host, name, number) in new[] { (Left, LeftInterface, 1), (Right, RightInterface, 2) })
        {
            Run("ip", "-n", host, "link", "set", "lo", "up");
            Run("ip", "-n", host, "addr", "add", $"10.99.0.{number}/24", "dev", name);
            Run("ip", "-n", host, "addr", "add", $"2001:db8:99::{number}/64", "dev", name, "nodad");
            Run("ip", "-n", host, "link", "set", name, "up");
        }
    }

    /// <summary>Name of the left namespace.</summary>
    public string Left { get; }

    /// <summary>Name of the right namespace.</summary>
    public string Right { get; }

    /// <summary>Runs code on a thread that belongs to a namespace: sockets and threads made in it belong there too.</summary>
    public static T In<T>(string host, Func<T> action)
    {
        T result = default!;
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                using var handle = File.OpenHandle($"/run/netns/{host}");
                if (EnterNamespace(handle, NewNetworkNamespace) != 0)
                {
                    throw new IOException($"setns: {Marshal.GetLastPInvokeErrorMessage()}");
                }

                result = action();
            }
            catch (Exception exception)
            {
                failure = exception;
            }
        });
        thread.Start();
        thread.Join();
        return failure is null ? result : throw new AggregateException($"in {host}", failure);
    }

    /// <summary>Runs a program in a namespace and gives what it printed; it must succeed.</summary>
    public static string RunIn(string host, string program, params string[] arguments) => Run("ip", ["netns", "exec", host, program, .. arguments]);

    /// <summary>Loads nftables rules into a namespace.</summary>
    public static void LoadRules(string host, string rules)
    {
        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, rules);
            RunIn(host, "nft", "-f", path);
        }
        finally
        {
            File.Delete(path);
        }
    }

    public static string Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: {error.Result}");
        return output;
    }

    public void Dispose()
    {
        // Interfaces, rules and routes go with their namespace.
        Run("ip", "netns", "del", Left);
        Run("ip", "netns", "del", Right);
    }

    [LibraryImport("libc", EntryPoint = "setns", SetLastError = true)]
    private static partial int EnterNamespace(SafeFileHandle handle, int kind);
}

/// <summary>Tests with a pair of hosts run one after another: they measure, and the machine is shared.</summary>
[CollectionDefinition(nameof(HostPair), DisableParallelization = true)]
public sealed class HostPairTests;
