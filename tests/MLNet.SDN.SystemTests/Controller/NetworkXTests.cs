using System.Diagnostics;
using System.Text;
using System.Text.Json;
using MLNet.SDN.Contracts;
using MLNet.SDN.Planning.Topology;
using TopologyFile = MLNet.SDN.Controller.Hosting.TopologyFile;

namespace MLNet.SDN.SystemTests.Controller;

/// <summary>Topologies go to NetworkX and come back as it writes them.</summary>
public class NetworkXTests
{
    private const string Python = "/usr/bin/python3";

    // What a user does: read, count, write; "links" in the old default's name and "edges" in the new one's, undirected and with both directions of each link.
    private const string Program = """
        import json, sys, networkx
        graph = networkx.node_link_graph(json.load(sys.stdin))
        hosts = [n for n, data in graph.nodes(data=True) if data["kind"] == "host"]
        rate = sum(data["rateBitsPerSecond"] for _, _, data in graph.edges(data=True))
        def named(document, name):
            document[name] = document.pop("links" if "links" in document else "edges")
            return document
        documents = [named(networkx.node_link_data(g), name) for g in (graph, graph.to_directed()) for name in ("links", "edges")]
        json.dump({"connected": networkx.is_connected(graph), "hosts": len(hosts), "rate": rate,
                   "hops": networkx.shortest_path_length(graph, hosts[0], hosts[-1]), "documents": documents}, sys.stdout)
        """;

    [Fact]
    public async Task Topology_ThroughNetworkX_IsTheSameFabric()
    {
        Prerequisites.Require(await RunAsync("import networkx", "") is not null, "NetworkX is needed: install python3-networkx.");
        var source = FatTree.Build(FatTree.Shape(4, 1_000, rackOversubscription: 2));
        Assert.True(Fabric.TryCreate(source, out var fabric, out _));

        var answer = JsonDocument.Parse(await RunAsync(Program, JsonSerializer.Serialize(fabric.Source, ContractsJson.Default.Topology)) ?? "null").RootElement;

        Assert.True(answer.GetProperty("connected").GetBoolean());
        Assert.Equal(16, answer.GetProperty("hosts").GetInt32());
        Assert.Equal(6, answer.GetProperty("hops").GetInt32());
        Assert.Equal(source.Links.Sum(l => l.RateBitsPerSecond), answer.GetProperty("rate").GetInt64());
        var documents = answer.GetProperty("documents").EnumerateArray().Select(d => d.GetRawText()).ToList();
        Assert.Equal(4, documents.Count);
        Assert.All(documents, document =>
        {
            Assert.True(TopologyFile.TryParse(Encoding.UTF8.GetBytes(document), out var back, out var faults), string.Join('\n', faults));
            Assert.Equal(fabric.Source.Nodes.OrderBy(n => n.Id, StringComparer.Ordinal), back!.Source.Nodes.OrderBy(n => n.Id, StringComparer.Ordinal));
            Assert.Equal(Links(fabric), Links(back));
        });
    }

    private static List<(string, string, long)> Links(Fabric fabric) =>
        [.. fabric.Source.Links.Select(l => string.CompareOrdinal(l.Source, l.Target) < 0 ? (l.Source, l.Target, l.RateBitsPerSecond) : (l.Target, l.Source, l.RateBitsPerSecond)).Order()];

    /// <summary>What the program prints; null when it fails.</summary>
    private static async Task<string?> RunAsync(string program, string input)
    {
        var start = new ProcessStartInfo(Python) { RedirectStandardInput = true, RedirectStandardOutput = true, ArgumentList = { "-c", program } };
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return process.ExitCode == 0 ? await output : null;
    }
}
