using System.Text.Json;
using MLNet.SDN.Cli.Simulation;
using MLNet.SDN.Planning.Simulation;

namespace MLNet.SDN.Tests.Cli;

public sealed class CaseFileTests : IDisposable
{
    private readonly DirectoryInfo directory = Directory.CreateTempSubdirectory("mlnet-case-");
    private readonly string path;

    public CaseFileTests() => path = Path.Combine(directory.FullName, "case.json");

    private const string Emulation = """{"name": "s", "fabric": {"hostMbps": 20, "rackUplinkMbps": 10, "coreMbps": 10}, "jobs": [{"name": "a, \"b\"", "hidden": 4, "rounds": 3}]}""";

    public void Dispose() => directory.Delete(recursive: true);

    [Theory]
    [InlineData("""{"name": 1""", ":1: ")]
    [InlineData("[]", "either 'topology'")]
    [InlineData("""{"topology": {}, "fabric": {}}""", "either 'topology'")]
    [InlineData("{\n\"topology\": 3, \"name\": \"x\", \"jobs\": []}", ":2: $.topology")]
    [InlineData("""{"fabric": {"hostMbps": 20, "rackUplinkMbps": 10}, "name": "x", "jobs": []}""", "coreMbps")]
    [InlineData("""{"fabric": {"k": 3, "hostMbps": 20, "rackUplinkMbps": 10, "coreMbps": 10}, "name": "x", "jobs": []}""", "fabric.k is 3")]
    [InlineData("{\"name\": \"x\",\n\"fabric\": {\n\"k\": 3, \"hostMbps\": 20,\"rackUplinkMbps\": 10, \"coreMbps\": 10}, \"jobs\": []}", ":3: fabric.k is 3")]
    [InlineData("""{"fabric": {"hostMbps": 20, "rackUplinkMbps": 10, "coreMbps": 10}, "name": "x", "jobs": [{"name": "a", "hidden": 4, "rounds": -3}]}""", "jobs[0].rounds is -3")]
    [InlineData("""{"fabric": {"hostMbps": 20, "rackUplinkMbps": 10, "coreMbps": 10}, "name": "x", "jobs": [{"name": "a", "hidden": 4, "rounds": 3, "roundz": 3}]}""", "$.jobs[0].roundz: There is no such field")]
    [InlineData("""{"fabric": {"hostMbps": 20, "rackUplinkMbps": 10, "coreMbps": 10}, "name": "x", "jobs": [{"name": "a", "hidden": 4, "rounds": 3}, {"name": "a", "hidden": 4, "rounds": 3}]}""", "jobs[1].name is a: An earlier job")]
    public void Read_FaultyFile_SaysWhere(string content, string expected)
    {
        File.WriteAllText(path, content);

        Assert.Null(CaseFile.Read(path, 0, [1], out var errors));

        Assert.StartsWith(path, Assert.Single(errors), StringComparison.Ordinal);
        Assert.Contains(expected, errors[0], StringComparison.Ordinal);
    }

    [Fact]
    public void Read_NoFile_SaysSo()
    {
        Assert.Null(CaseFile.Read(path, 0, [1], out var errors));
        Assert.Contains(path, Assert.Single(errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Write_Results_AreOneLinePerJobAndWholeJson()
    {
        await File.WriteAllTextAsync(path, Emulation, TestContext.Current.CancellationToken);
        var @case = CaseFile.Read(path, 0.5, [1], out _)!.Single();
        SchemeResult[] results = [SchemeComparison.Run(@case, new("rack", "srpt"), TestContext.Current.CancellationToken)];
        SchemeRun[] runs = [new(results[0].Scheme, results)];

        var files = ResultFiles.Prepare(path + ".out", path + ".csv", null, [path], out _)!;
        await files.WriteAsync([@case], runs, TestContext.Current.CancellationToken);
        var lines = await File.ReadAllLinesAsync(path + ".csv", TestContext.Current.CancellationToken);
        using var json = JsonDocument.Parse(await File.ReadAllTextAsync(path + ".out", TestContext.Current.CancellationToken));

        Assert.Equal(2, lines.Length);
        Assert.StartsWith("s,rack,srpt,\"a, \"\"b\"\"\",0,", lines[1], StringComparison.Ordinal);
        var scheme = json.RootElement.GetProperty("schemes")[0];
        Assert.Equal(results[0].MeanSeconds, scheme.GetProperty("meanSeconds").GetDouble());
        Assert.Equal("rack", scheme.GetProperty("scheme").GetProperty("strategy").GetString());
        Assert.Equal(results[0].Links.Count, scheme.GetProperty("links").GetArrayLength());
    }
}
