using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace MLNet.SDN.Benchmarks;

/// <summary>What the agent of a host costs while no job uses it: processor and memory, attached to a controller, first without any traffic, then with ten thousand live flows.</summary>
internal static class IdleCost
{
    private const int Windows = 3;
    private const double WindowSeconds = 20;
    private const double MiB = 1 << 20;

    // Each flow has a packet a second: none of them is ever idle.
    private const int Flows = 10_000;

    // Ticks of /proc/PID/stat, USER_HZ of every Linux that .NET runs on.
    private const double TicksPerSecond = 100;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    public static int Run(string state, string[] options)
    {
        using var cable = new HostCable(addressed: true);
        var directory = Directory.CreateTempSubdirectory("mlb-idle-");
        var processes = new List<Process>();
        try
        {
            // 1. A controller and an agent, as they are run, in one network namespace; the frames that come over the cable are nobody's.
            HostCable.Load(cable.Receiver, $"table netdev bench {{\n chain c {{\n type filter hook ingress device {HostCable.Far} priority 0;\n drop;\n }}\n}}\n");
            var (topology, token) = ($"{directory}/topology.json", $"{directory}/token");
            File.WriteAllText(topology, Topology);
            File.WriteAllText(token, Guid.NewGuid().ToString("N"));
            File.SetUnixFileMode(token, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            var controller = Path.Combine(state, "bin", "controller");
            Start(controller, "mlnet-controller", "--urls=http://127.0.0.1:8080", $"--Controller:Topology={topology}", $"--Controller:AgentTokenFile={token}", "--Controller:Instance=idle", "--Logging:LogLevel:Default=Error");
            var agent = Start(
                Path.Combine(state, "bin", "agent"), "mlnet-agent", "--Agent:Host=h1", "--Agent:Controllers:0=http://127.0.0.1:8080", $"--Agent:Interface={HostCable.Far}", "--Agent:DataAddress=10.99.0.2",
                $"--Agent:StateDirectory={directory}", $"--Agent:WorkerSocket={directory}/w", $"--Agent:ControlSocket={directory}/c", $"--Agent:TokenFile={token}", "--Agent:LogLevel=Error");
            WaitFor(() => Status()?.GetValueOrDefault("controller").ValueKind == JsonValueKind.String, "the agent is not attached to the controller");

            // 2. Once all code that runs each second or each report has run.
            Thread.Sleep(TimeSpan.FromSeconds(15));
            List<Row> rows = [.. Measure("idle", agent.Id, 0.5, 90)];

            // 3. The flows, until all of them are in the table and were reported once.
            var seconds = 15 + (Windows * WindowSeconds) + 10;
            var sender = Process.Start(new ProcessStartInfo(
                "ip", ["netns", "exec", cable.Sender, Environment.ProcessPath!, "send-frames", HostCable.Near, cable.FarMac, Text(Flows), Text(seconds), Text(Flows)]) { RedirectStandardOutput = true })!;
            processes.Add(sender);
            WaitFor(() => Status()!["flows"].GetInt32() >= Flows, "the flows are not in the table");
            Thread.Sleep(TimeSpan.FromSeconds(12));
            var lost = Status()!["lostRecords"].GetInt64();
            rows.AddRange(Measure($"{Flows} live flows", agent.Id, 5, 150));
            var after = Status()!;
            if (sender.HasExited || after["flows"].GetInt32() < Flows || after["lostRecords"].GetInt64() != lost || after.GetValueOrDefault("controller").ValueKind != JsonValueKind.String)
            {
                throw new InvalidOperationException($"Not what was to be measured: {after["flows"]} flows, {after["lostRecords"].GetInt64() - lost} records lost, controller {after.GetValueOrDefault("controller")}.");
            }

            return Publish(state, rows);
        }
        finally
        {
            foreach (var process in processes)
            {
                if (!process.HasExited)
                {
                    process.Kill(entireProcessTree: true);
                    process.WaitForExit();
                }

                process.Dispose();
            }

            directory.Delete(recursive: true);
        }

        Process Start(string folder, string program, params string[] arguments)
        {
            // nsenter becomes the program, so that its id is the program's.
            var process = Process.Start(new ProcessStartInfo("nsenter", [$"--net=/run/netns/{cable.Receiver}", Path.Combine(folder, program), .. arguments]) { WorkingDirectory = folder })!;
            processes.Add(process);
            return process;
        }

        Dictionary<string, JsonElement>? Status()
        {
            try
            {
                return JsonSerializer.Deserialize<Dictionary<string, JsonElement>>(FlowReader.Ask($"{directory}/c", "status"));
            }
            catch (Exception exception) when (exception is System.Net.Sockets.SocketException or JsonException or IOException)
            {
                return null;
            }
        }
    }

    private static int Publish(string state, List<Row> rows)
    {
        var idle = rows.Where(r => r.State == "idle").ToList();
        return new BenchResult
        {
            Bench = "idle",
            Ours = idle.Average(r => r.ProcessorPercent),
            Peer = null,
            PeerName = null,
            Ratio = null,
            Unit = "% of a core",
            Better = "lower",
            Runs = Windows,
            Spread = idle.Max(r => r.ProcessorPercent) - idle.Min(r => r.ProcessorPercent),
            Worst = rows.GroupBy(r => r.State).Max(g => Math.Max(g.Average(r => r.ProcessorPercent) / g.First().ProcessorLimit, g.Max(r => r.ProportionalMiB) / g.First().MemoryLimit)),
        }.Publish(state, rows);
    }

    private static IEnumerable<Row> Measure(string what, int id, double processorLimit, double memoryLimit)
    {
        for (var window = 0; window < Windows; window++)
        {
            var (clock, ticks) = (Stopwatch.StartNew(), Ticks(id));
            Thread.Sleep(TimeSpan.FromSeconds(WindowSeconds));
            var percent = 100 * (Ticks(id) - ticks) / TicksPerSecond / clock.Elapsed.TotalSeconds;
            var (proportional, resident) = Memory(id);
            Console.Error.WriteLine($"{what,-16} {percent:0.00} % of a core (limit {processorLimit}), PSS without shared slots {proportional:0} MiB (limit {memoryLimit}), RSS {resident:0} MiB");
            yield return new Row(what, percent, processorLimit, proportional, memoryLimit, resident);
        }
    }

    // User and system time, its own and that of children that have ended (nft): fields 14 to 17 of proc_pid_stat(5). The name before them may hold anything.
    private static long Ticks(int id)
    {
        var text = File.ReadAllText($"/proc/{id}/stat");
        return text[(text.LastIndexOf(')') + 2)..].Split(' ')[11..15].Sum(field => long.Parse(field, CultureInfo.InvariantCulture));
    }

    // PSS and RSS; from PSS without what it shares with trainers.
    private static (double Proportional, double Resident) Memory(int id)
    {
        long Sum(IEnumerable<string> lines, string field) => lines.Where(l => l.StartsWith(field, StringComparison.Ordinal)).Sum(l => long.Parse(l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture));
        var all = File.ReadAllLines($"/proc/{id}/smaps_rollup");
        long slots = 0;
        var isSlot = false;
        foreach (var line in File.ReadLines($"/proc/{id}/smaps"))
        {
            // A mapping begins with its addresses and ends with its name; what follows are fields.
            isSlot = line[..line.IndexOf(' ', StringComparison.Ordinal)].EndsWith(':') ? isSlot : line.Contains("/memfd:mlnet-", StringComparison.Ordinal);
            slots += isSlot ? Sum([line], "Pss:") : 0;
        }

        return ((Sum(all, "Pss:") - slots) * 1024 / MiB, Sum(all, "Rss:") * 1024 / MiB);
    }

    private static void WaitFor(Func<bool> holds, string otherwise)
    {
        var clock = Stopwatch.StartNew();
        while (!holds())
        {
            if (clock.Elapsed > Patience)
            {
                throw new InvalidOperationException($"Within {Patience.TotalSeconds} s {otherwise}.");
            }

            Thread.Sleep(200);
        }
    }

    private static string Text(double value) => value.ToString(CultureInfo.InvariantCulture);

    private static string Topology => """
        {"directed": false, "multigraph": false, "graph": {},
         "nodes": [{"id": "h1", "kind": "host", "address": "10.99.0.2", "rack": "r1", "pod": "p1"}, {"id": "h2", "kind": "host", "address": "10.99.0.1", "rack": "r1", "pod": "p1"},
                   {"id": "s1", "kind": "switch", "rack": "r1", "pod": "p1"}],
         "links": [{"source": "h1", "target": "s1", "rateBitsPerSecond": 10000000000}, {"source": "h2", "target": "s1", "rateBitsPerSecond": 10000000000}]}
        """;

    private sealed record Row(string State, double ProcessorPercent, double ProcessorLimit, double ProportionalMiB, double MemoryLimit, double ResidentMiB);
}
