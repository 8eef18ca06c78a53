using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using MLNet.SDN.Cli.Simulation;

namespace MLNet.SDN.Tests.Cli;

/// <summary>The command as a person calls it: files in, files out.</summary>
public sealed class SimulateCommandTests : IDisposable
{
    private readonly DirectoryInfo directory = Directory.CreateTempSubdirectory("mlnet-simulate-");

    // Few jobs on few hosts, drawn, so that whole runs take a moment.
    private const string Kind = """
        {
          "name": "small",
          "topology": {"racks": 4, "hostsPerRack": 4, "pods": 2, "racksPerPod": 2, "hostBytesPerSecond": 1.25e9, "rackUplinkBytesPerSecond": 2.5e9, "podUplinkBytesPerSecond": 5e9},
          "jobs": 6,
          "workersPerJob": [{"workers": 2, "weight": 1}, {"workers": 4, "weight": 1}, {"workers": 6, "weight": 1}],
          "models": [{"name": "a", "bytes": 1e9, "computeSeconds": 0.3}, {"name": "b", "bytes": 2e8, "computeSeconds": 0.1, "weight": 2}],
          "rounds": {"median": 20, "sigma": 0.8, "least": 3, "most": 90},
          "arrivals": {"windowSeconds": 10},
          "placement": {"rule": "random", "jobsPerHost": 3}
        }
        """;

    public void Dispose() => directory.Delete(recursive: true);

    [Fact]
    public async Task Simulate_KindWithSeeds_WritesEveryFileTheSameEachTime()
    {
        var kind = Write("kind.json", Kind);
        string[] Files(string run) => ["--json", At($"{run}.json"), "--csv", At($"{run}.csv"), "--figures", At(run)];

        Assert.Equal(0, await Run([kind, "--seeds", "3", "--strategy", "ring", "optimized", "--policy", "fair", "srpt", .. Files("one")]));
        Assert.Equal(0, await Run([kind, "--seeds", "3", "--strategy", "ring", "optimized", "--policy", "fair", "srpt", .. Files("two")]));

        foreach (var (one, two) in new[] { ("one.json", "two.json"), ("one.csv", "two.csv"), ("one.links.csv", "two.links.csv"), ("one.levels.csv", "two.levels.csv"), ("one/cdf.svg", "two/cdf.svg"), ("one/means.svg", "two/means.svg") })
        {
            Assert.Equal(await File.ReadAllBytesAsync(At(one)), await File.ReadAllBytesAsync(At(two)));
        }

        // Three cases of six jobs under four schemes.
        var jobs = await File.ReadAllLinesAsync(At("one.csv"));
        Assert.Equal(1 + (3 * 6 * 4), jobs.Length);
        Assert.Equal(["small-1", "small-2", "small-3"], jobs.Skip(1).Select(l => l.Split(',')[0]).Distinct());
        var levels = (await File.ReadAllLinesAsync(At("one.levels.csv"))).Skip(1).Select(l => l.Split(',')).GroupBy(l => (l[0], l[1], l[2])).ToArray();
        Assert.Equal(12, levels.Length);
        Assert.All(levels, l => Assert.Equal(1, l.Sum(x => double.Parse(x[4], CultureInfo.InvariantCulture)), 9));
        using var json = JsonDocument.Parse(await File.ReadAllTextAsync(At("one.json")));
        Assert.Equal(3, json.RootElement.GetArrayLength());
        Assert.All(json.RootElement.EnumerateArray(), c => Assert.Equal(4, c.GetProperty("schemes").GetArrayLength()));

        // Every scheme has its line and its bar, and both name it.
        XNamespace svg = "http://www.w3.org/2000/svg";
        foreach (var file in new[] { "one/cdf.svg", "one/means.svg" })
        {
            var words = XDocument.Load(At(file)).Descendants(svg + "text").Select(t => t.Value).ToArray();
            Assert.All(new[] { "ring, fair", "ring, srpt", "optimized, fair", "optimized, srpt" }, name => Assert.Contains(name, words));
        }

        Assert.Equal(4, XDocument.Load(At("one/means.svg")).Descendants(svg + "rect").Count(r => ((string)r.Attribute("class")!).StartsWith("box", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Simulate_JobsInAnotherOrder_WritesTheSameBytes()
    {
        var kind = JsonNode.Parse(Kind)!;
        kind["arrivals"] = new JsonObject(); // all at once: nothing but the jobs themselves tells which comes first
        Assert.Equal(0, await Run([Write("kind.json", kind.ToJsonString()), "--seed", "5", "--strategy", "ring", "--policy", "fair", "--json", At("drawn.json")]));
        var scenario = Batch();
        var reversed = JsonNode.Parse(scenario.ToJsonString())!;
        reversed["jobs"] = new JsonArray([.. scenario["jobs"]!.AsArray().Reverse().Select(j => j!.DeepClone())]);

        foreach (var (name, content) in new[] { ("forward", scenario), ("backward", reversed) })
        {
            Assert.Equal(0, await Run([Write($"{name}.in.json", content.ToJsonString()), "--strategy", "rack", "optimized", "--policy", "fair", "srpt", "bssi", "--json", At($"{name}.json"), "--csv", At($"{name}.csv")]));
        }

        Assert.Equal(await File.ReadAllBytesAsync(At("forward.json")), await File.ReadAllBytesAsync(At("backward.json")));
        Assert.Equal(await File.ReadAllBytesAsync(At("forward.csv")), await File.ReadAllBytesAsync(At("backward.csv")));
    }

    [Fact]
    public async Task Simulate_TraceOnImportedTopology_RunsToTheEnd()
    {
        var trace = Write("trace.csv", "num_gpu,submit_time,iterations,model_name,iteration_time,resource_time_2\n4,0,900,vgg16,214,66\n2,5000,400,bert,192,59\n1,6000,90,dqn,490,0\n3,7000,300,gpt2,437,49\n");
        var topology = Write("topology.csv", "ip,DSW,PSW,ASW\na,G,P,S1\nb,G,P,S1\nc,G,P,S2\nd,G,P,S2\ne,G,P,S2\n");

        Assert.Equal(0, await Run(["--trace", trace, "--topology", topology, "--rack-oversubscription", "4", "--trace-rounds", "160", "--json", At("out.json")]));

        using var json = JsonDocument.Parse(await File.ReadAllTextAsync(At("out.json")));
        Assert.Equal(5, json.RootElement.GetProperty("hosts").GetInt32());
        Assert.Equal(4, json.RootElement.GetProperty("schemes")[0].GetProperty("jobs").GetArrayLength());
        Assert.All(json.RootElement.GetProperty("schemes").EnumerateArray(), s => Assert.True(s.GetProperty("makespanSeconds").GetDouble() > 0));
    }

    [Theory]
    [InlineData("--trace", "trace.csv", "num_gpu,submit_time\n1,2", "trace.csv:1:")]
    [InlineData("--trace", "trace.csv", "num_gpu,submit_time,iterations,model_name,iteration_time,resource_time_2\n1,0,1,bert,1,0\n1,-1,1,bert,1,0", "trace.csv:3: -1: submit_time must be a time of 0 ms or more.")]
    [InlineData("G-4-pack", "topology.json", "{\"nodes\": [\n{\"id\": \"a\", \"kind\": \"host\", \"address\": \"10.0.0.1\"},\n{\"id\": \"b\", \"kind\": \"host\", \"address\": \"10.0.0.2\"},\n{\"id\": \"s\", \"kind\": \"switch\"},\n{\"id\": \"t\", \"kind\": \"switch\"}],\n\"links\": [{\"source\": \"a\", \"target\": \"s\", \"rateBitsPerSecond\": 1}, {\"source\": \"b\", \"target\": \"t\", \"rateBitsPerSecond\": 1}]}", "topology.json:3: nodes[1]: b: Host b cannot be reached")]
    [InlineData("scenario", "kind.json", "{\"name\": \"x\",\n\"workersPerJob\": [],\n\"topology\": {\"racks\": 1, \"hostsPerRack\": 1, \"pods\": 1, \"racksPerPod\": 1, \"hostBytesPerSecond\": 1, \"rackUplinkBytesPerSecond\": 1, \"podUplinkBytesPerSecond\": 1}, \"jobs\": 1, \"models\": [{\"name\": \"m\", \"bytes\": 1, \"computeSeconds\": 1}],\n\"rounds\": {\"median\": 1, \"sigma\": 0}, \"arrivals\": {}, \"placement\": {\"rule\": \"packed\"}}", "kind.json:2: workersPerJob: There is no number")]
    public async Task Simulate_FaultyFile_IsOneErrorWithFileAndLine(string what, string file, string content, string expected)
    {
        var path = Write(file, content);
        string[] arguments = what switch { "--trace" => ["--trace", path], "scenario" => [path], _ => [what, "--topology", path] };
        var errors = new StringWriter();

        Assert.Equal(1, await Run(arguments, errors));

        Assert.Contains(expected, Assert.Single(errors.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("o.json", "o.json", null, "--json and --csv name the same file")]
    [InlineData("o.links.csv", "o.csv", null, "--json and --csv name the same file")]
    [InlineData("kind.json", null, null, "which is read")]
    [InlineData(".", null, null, "is a directory")]
    [InlineData("nowhere/o.json", null, null, "nowhere; make it first")]
    [InlineData("/proc/x", null, null, "--json: /proc/x cannot be written")]
    [InlineData(null, "/root", null, "--csv: /root")]
    [InlineData(null, null, "/proc/nope", "--figures: the directory /proc/nope cannot be made")]
    [InlineData(null, null, "kind.json", "--figures: the directory")]
    public async Task Simulate_FilesThatCannotBeWritten_AreRefusedBeforeAnyRun(string? json, string? csv, string? figures, string expected)
    {
        var kind = Write("kind.json", Kind);
        string[] arguments = [.. Given("--json", json), .. Given("--csv", csv), .. Given("--figures", figures)];
        var errors = new StringWriter();

        Assert.Equal(1, await Run([kind, "--strategy", "ring", "--policy", "fair", .. arguments], errors));

        Assert.Contains(expected, Assert.Single(errors.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
        Assert.Equal(["kind.json"], directory.GetFileSystemInfos().Select(f => f.Name));
        Assert.Equal(Kind, await File.ReadAllTextAsync(kind));

        string[] Given(string option, string? path) => path is null ? [] : [option, At(path)];
    }

    [Fact]
    public async Task Simulate_FilesThatAreThere_AreReplacedWholeAndLinksKept()
    {
        var kind = Write("kind.json", Kind);
        Write("real.json", new string('x', 1_000_000));
        File.CreateSymbolicLink(At("link.json"), "real.json");

        Assert.Equal(0, await Run([kind, "--strategy", "ring", "--policy", "fair", "--json", At("link.json"), "--csv", "/dev/null"]));

        Assert.NotNull(File.ResolveLinkTarget(At("link.json"), returnFinalTarget: false));
        using var json = JsonDocument.Parse(await File.ReadAllTextAsync(At("real.json")));
        Assert.Equal(["kind.json", "link.json", "real.json"], directory.GetFileSystemInfos().Select(f => f.Name).Order());
        Assert.False(File.Exists("/dev/null.links"));
    }

    [Theory]
    [InlineData]
    [InlineData("G-4-pack", "--trace", "x")]
    [InlineData("G-4-pack", "--seed", "1", "--seeds", "2")]
    [InlineData("G-4-pack", "--seeds", "0")]
    [InlineData("no-such-file.json")]
    public async Task Simulate_ArgumentsThatDoNotFit_AreRefused(params string[] arguments) => Assert.NotEqual(0, await Run(arguments, new StringWriter()));

    // The drawn jobs, as a scenario that lists them.
    private static JsonObject Batch() => new()
    {
        ["name"] = "listed",
        ["topology"] = JsonNode.Parse(Kind)!["topology"]!.DeepClone(),
        ["jobs"] = new JsonArray([.. Enumerable.Range(0, 9).Select(i => new JsonObject
        {
            ["model"] = $"m{i % 2}",
            ["workers"] = new JsonArray([.. Enumerable.Range(0, 2 + (i % 4)).Select(w => (JsonNode)(((i * 5) + (w * 3)) % 16))]),
            ["bytes"] = 1e8 * (1 + (i % 3)),
            ["computeSeconds"] = 0.2,
            ["iterations"] = 10 + (i % 5),
            ["arrivalSeconds"] = 0,
        })]),
    };

    private string At(string file) => Path.Combine(directory.FullName, file);

    private string Write(string file, string content)
    {
        File.WriteAllText(At(file), content);
        return At(file);
    }

    private static async Task<int> Run(string[] arguments, TextWriter? errors = null)
    {
        var root = new System.CommandLine.RootCommand { SimulateCommand.Create() };
        return await root.Parse(["simulate", .. arguments]).InvokeAsync(new() { Error = errors ?? Console.Error, Output = TextWriter.Null });
    }
}
