using System.Text.Json;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Agent.Policies;

public sealed class PolicyStoreTests : IDisposable
{
    private readonly string directory = Path.Combine(Directory.CreateTempSubdirectory("mlnet-store-").FullName, "state");

    private PolicyStore Store => new(directory, PolicySamples.Host);

    public void Dispose() => Directory.Delete(Path.GetDirectoryName(directory)!, recursive: true);

    [Fact]
    public void Load_NothingSaved_IsNull() => Assert.Null(Store.Load());

    [Fact]
    public void Load_Saved_IsTheSame()
    {
        var policy = PolicySamples.Policy(3, PolicySamples.Job(1, "a", 1, 34, new FlowSelector { Protocol = "tcp" }));

        Store.Save(policy);

        Assert.Equal(Json(policy), Json(Store.Load()!));
    }

    [Fact]
    public void Save_File_IsTheOwnersAloneAndNamesTheHost()
    {
        Store.Save(PolicySamples.Policy(1, PolicySamples.Job()));

        var file = Assert.Single(Directory.GetFiles(directory));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        Assert.Contains(PolicySamples.Host, Path.GetFileName(file), StringComparison.Ordinal);
    }

    [Fact]
    public void Save_TwoHostsInOneDirectory_DoNotMeet()
    {
        Store.Save(PolicySamples.Policy(1));
        new PolicyStore(directory, "h0-0-1").Save(PolicySamples.Policy(2) with { Host = "h0-0-1" });

        Assert.Equal(1, Store.Load()!.Revision.Generation);
    }

    [Fact]
    public void Load_CrashBeforeTheRename_GivesTheOldOneAndTheNextSaveWorks()
    {
        Store.Save(PolicySamples.Policy(1));
        File.WriteAllText(Store.FilePath + ".new", "{\"host\": \"h0-");
        File.SetUnixFileMode(Store.FilePath + ".new", UnixFileMode.OtherRead | UnixFileMode.UserRead);

        Assert.Equal(1, Store.Load()!.Revision.Generation);
        Store.Save(PolicySamples.Policy(2));

        Assert.Equal(2, Store.Load()!.Revision.Generation);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Store.FilePath));
    }

    [Fact]
    public async Task Load_WhileOthersAreSaved_IsAlwaysOneOfThemWhole()
    {
        var few = PolicySamples.Policy(1, PolicySamples.Job(1, "one"));
        var many = PolicySamples.Policy(2, [.. Enumerable.Range(1, 200).Select(i => PolicySamples.Job(i, $"job{i}"))]);
        Store.Save(few);
        using var stop = new CancellationTokenSource();
        var saving = Task.Run(() =>
        {
            for (var i = 0; !stop.IsCancellationRequested; i++)
            {
                Store.Save(i % 2 == 0 ? many : few);
            }
        });

        var seen = new HashSet<(long, int)>();
        for (var i = 0; i < 300; i++)
        {
            var policy = Store.Load()!;
            seen.Add((policy.Revision.Generation, policy.Jobs.Count));
        }

        await stop.CancelAsync();
        await saving;
        Assert.Subset(new HashSet<(long, int)> { (1, 1), (2, 200) }, seen);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("{\"host\":\"h0-0-0\"}")]
    [InlineData("\0\0\0\0")]
    public void Load_Damaged_IsAJsonException(string text)
    {
        Directory.CreateDirectory(directory);
        File.WriteAllText(Store.FilePath, text);

        Assert.Throws<JsonException>(() => Store.Load());
    }

    [Fact]
    public void Save_NoDirectoryPossible_IsAnIOException()
    {
        File.WriteAllText(directory, "a file where the directory should be");

        Assert.Throws<IOException>(() => Store.Save(PolicySamples.Policy(1)));
    }

    private static string Json(HostPolicy policy) => JsonSerializer.Serialize(policy, ContractsJson.Default.HostPolicy);
}
