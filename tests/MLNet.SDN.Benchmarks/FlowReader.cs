using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace MLNet.SDN.Benchmarks;

/// <summary>What a reader of frames says of itself.</summary>
/// <param name="Packets">Counted into flows.</param>
/// <param name="Drops">Lost before it read them, as far as it knows.</param>
/// <param name="AllocatedBytes">On a managed heap, by the thread that reads; 0 where there is none.</param>
internal readonly record struct ReaderCounts(long Packets, long Drops, long AllocatedBytes);

/// <summary>A program that counts the flows of an interface, running in a namespace.</summary>
internal abstract partial class FlowReader : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly Process process;

    protected FlowReader(string host, string directory, string program, params string[] arguments)
    {
        Directory = directory;
        process = Process.Start(new ProcessStartInfo("ip", ["netns", "exec", host, program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        process.OutputDataReceived += (_, line) => Log(line.Data);
        process.ErrorDataReceived += (_, line) => Log(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    protected string Directory { get; }

    /// <summary>What the program printed so far.</summary>
    protected StringBuilder Output { get; } = new();

    /// <summary>Starts one of the programs and waits until it reads.</summary>
    /// <param name="name"><c>mlnet-agent</c>, <c>softflowd</c> or <c>pmacctd</c>.</param>
    /// <param name="bin">Where ours is.</param>
    /// <param name="host">The namespace.</param>
    /// <param name="interfaceName">The interface.</param>
    public static FlowReader Start(string name, string bin, string host, string interfaceName)
    {
        var directory = System.IO.Directory.CreateTempSubdirectory("mlb-").FullName;
        FlowReader reader = name switch
        {
            "mlnet-agent" => new Agent(bin, host, interfaceName, directory),
            "softflowd" => new Softflowd(host, interfaceName, directory),
            _ => new Pmacctd(host, interfaceName, directory),
        };
        var clock = Stopwatch.StartNew();
        while (!reader.IsReady())
        {
            if (clock.Elapsed > Patience || reader.process.HasExited)
            {
                var said = reader.Output.ToString();
                reader.Dispose();
                throw new InvalidOperationException($"{name} does not start: {said}");
            }

            Thread.Sleep(50);
        }

        return reader;
    }

    /// <summary>Processor time of the program, all its threads and children, seconds.</summary>
    public double CpuSeconds() => Family(process.Id).Sum(CpuOf);

    /// <summary>What it says of itself.</summary>
    public abstract ReaderCounts Counts();

    public void Dispose()
    {
        if (!process.HasExited)
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
        }

        process.Dispose();
        System.IO.Directory.Delete(Directory, recursive: true);
    }

    /// <summary>Asks a running agent.</summary>
    /// <param name="path">Its control socket.</param>
    /// <param name="question">A word.</param>
    public static string Ask(string path, string question)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(path));
        socket.Send(Encoding.UTF8.GetBytes(question + "\n"));
        using var reader = new StreamReader(new NetworkStream(socket));
        return reader.ReadToEnd();
    }

    protected static long Last(string text, string pattern) =>
        long.Parse(Regex.Matches(text, pattern)[^1].Groups[1].Value, CultureInfo.InvariantCulture);

    protected abstract bool IsReady();

    protected IEnumerable<int> Family() => Family(process.Id);

    private static IEnumerable<int> Family(int id) =>
        File.ReadAllText($"/proc/{id}/task/{id}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .SelectMany(child => Family(int.Parse(child, CultureInfo.InvariantCulture))).Prepend(id);

    // Nanoseconds on the processor: the first figure of schedstat. Threads that ended meanwhile are not in it; none of the three lets threads go that did work.
    private static double CpuOf(int id) =>
        System.IO.Directory.GetDirectories($"/proc/{id}/task").Sum(
            task => long.Parse(File.ReadAllText($"{task}/schedstat").Split(' ')[0], CultureInfo.InvariantCulture) / 1e9);

    private void Log(string? line)
    {
        lock (Output)
        {
            Output.Append(line).Append('\n');
        }
    }

    private sealed class Agent(string bin, string host, string interfaceName, string directory) : FlowReader(
        host, directory, Path.Combine(bin, "agent", "mlnet-agent"), "--Agent:Host=bench", "--Agent:Controllers:0=http://127.0.0.1:9", $"--Agent:Interface={interfaceName}",
        "--Agent:Aggregate=false", "--Agent:Mark=false", $"--Agent:StateDirectory={directory}", $"--Agent:WorkerSocket={directory}/w", $"--Agent:ControlSocket={directory}/c",
        "--Agent:LogLevel=Warning")
    {
        public override ReaderCounts Counts()
        {
            using var status = JsonDocument.Parse(Ask($"{Directory}/c", "status"));
            var root = status.RootElement;
            return new ReaderCounts(
                root.GetProperty("frames").GetInt64() - root.GetProperty("ignoredFrames").GetInt64(), root.GetProperty("kernelDrops").GetInt64(),
                root.GetProperty("captures")[0].GetProperty("allocatedBytes").GetInt64());
        }

        protected override bool IsReady() => File.Exists($"{Directory}/c") && Ask($"{Directory}/c", "status").Contains("\"capture\"", StringComparison.Ordinal);
    }

    private sealed class Softflowd(string host, string interfaceName, string directory) : FlowReader(
        host, directory, "softflowd", "-d", "-6", "-i", interfaceName, "-m", "65536", "-p", $"{directory}/pid", "-c", $"{directory}/c")
    {
        public override ReaderCounts Counts()
        {
            var text = Ask($"{Directory}/c", "statistics");
            return new ReaderCounts(Last(text, @"Packets processed: (\d+)"), Last(text, @"dropped by libpcap: (\d+)"), 0);
        }

        protected override bool IsReady() => File.Exists($"{Directory}/c");
    }

    private sealed class Pmacctd(string host, string interfaceName, string directory) : FlowReader(host, directory, "pmacctd", "-f", Config(interfaceName, directory))
    {
        // It answers SIGUSR1 with a line in its log.
        public override ReaderCounts Counts()
        {
            var known = Output.Length;
            using (var kill = Process.Start("kill", ["-USR1", Family().First(IsCore).ToString(CultureInfo.InvariantCulture)]))
            {
                kill.WaitForExit();
            }

            Thread.Sleep(300);
            lock (Output)
            {
                var text = Output.ToString()[known..];
                return new ReaderCounts(Last(text, @"received_packets=(\d+)") - Last(text, @"dropped_packets=(\d+)"), Last(text, @"dropped_packets=(\d+)"), 0);
            }
        }

        protected override bool IsReady()
        {
            lock (Output)
            {
                return Output.ToString().Contains("link type is", StringComparison.Ordinal);
            }
        }

        private static string Config(string interfaceName, string directory)
        {
            var path = Path.Combine(directory, "conf");
            File.WriteAllText(path, $"""
                daemonize: false
                pcap_interface: {interfaceName}
                plugins: print[a]
                aggregate[a]: src_host, dst_host, src_port, dst_port, proto, tos
                print_output_file[a]: {directory}/out
                print_refresh_time[a]: 3600
                plugin_pipe_size: 67108864
                plugin_buffer_size: 65536
                snaplen: 128

                """);
            return path;
        }

        private static bool IsCore(int id) => File.ReadAllText($"/proc/{id}/cmdline").Contains("Core Process", StringComparison.Ordinal);
    }
}
