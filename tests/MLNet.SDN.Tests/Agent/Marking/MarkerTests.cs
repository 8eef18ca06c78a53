using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Agent;
using MLNet.SDN.Agent.Marking;

namespace MLNet.SDN.Tests.Agent.Marking;

/// <summary>The marker against a script that keeps one table in a file as nft keeps it in the kernel. The real nft is in the system tests.</summary>
public sealed class MarkerTests : IDisposable
{
    private const string Rendered = Ruleset.Removal + "table inet mlnet_sdn {\n\tcomment \"mlnet-agent 0123\"\n}\n";
    private const string Other = Ruleset.Removal + "table inet mlnet_sdn {\n\tcomment \"mlnet-agent 4567\"\n}\n";

    private readonly string directory = Directory.CreateTempSubdirectory("mlnet-nft-").FullName;
    private readonly Marker marker;

    public MarkerTests()
    {
        Script("""
            cd "$(dirname "$0")"
            if [ -e refuse ]; then cat refuse >&2; exit 1; fi
            if [ "$1" = -f ]; then
              echo load >> calls
              sed 1,2d > table
              [ -s table ] || rm table
            elif [ -e table ]; then cat table
            else echo "Error: No such file or directory" >&2; exit 1
            fi
            """);
        marker = new Marker(new SystemProgram("nft", Path.Combine(directory, "nft")), NullLogger.Instance);
    }

    private int Loads => File.Exists(PathOf("calls")) ? File.ReadAllLines(PathOf("calls")).Length : 0;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public async Task Apply_New_IsLoadedAndReadBack()
    {
        await marker.ProbeAsync(CancellationToken.None);
        var empty = marker.Hash;

        Assert.Null(await marker.ApplyAsync(Rendered, CancellationToken.None));

        Assert.NotEqual(empty, marker.Hash);
        Assert.Null(marker.Unavailable);
        Assert.Equal("table inet mlnet_sdn {\n\tcomment \"mlnet-agent 0123\"\n}\n", File.ReadAllText(PathOf("table")));
    }

    [Fact]
    public async Task Apply_Same_IsNotLoadedAgain()
    {
        await marker.ProbeAsync(CancellationToken.None);
        await marker.ApplyAsync(Rendered, CancellationToken.None);
        await marker.ApplyAsync(Rendered, CancellationToken.None);
        Assert.Equal(1, Loads);

        await marker.ApplyAsync(Other, CancellationToken.None);
        Assert.Equal(2, Loads);
    }

    [Fact]
    public async Task Apply_SameAfterDrift_IsLoadedAgain()
    {
        await marker.ProbeAsync(CancellationToken.None);
        await marker.ApplyAsync(Rendered, CancellationToken.None);
        File.AppendAllText(PathOf("table"), "drop everything\n");

        Assert.Null(await marker.ApplyAsync(Rendered, CancellationToken.None));

        Assert.Equal(2, Loads);
        Assert.DoesNotContain("drop", File.ReadAllText(PathOf("table")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Apply_Removal_LeavesNoTable()
    {
        await marker.ProbeAsync(CancellationToken.None);
        var empty = marker.Hash;
        await marker.ApplyAsync(Rendered, CancellationToken.None);

        Assert.Null(await marker.ApplyAsync(Ruleset.Removal, CancellationToken.None));

        Assert.False(File.Exists(PathOf("table")));
        Assert.Equal(empty, marker.Hash);
    }

    [Fact]
    public async Task Apply_Refused_TellsWhyAndIsTroubleUntilItWorks()
    {
        await marker.ProbeAsync(CancellationToken.None);
        File.WriteAllText(PathOf("refuse"), "Error: syntax error, unexpected goto");

        Assert.Contains("unexpected goto", await marker.ApplyAsync(Rendered, CancellationToken.None), StringComparison.Ordinal);
        Assert.NotNull(marker.Trouble);

        File.Delete(PathOf("refuse"));
        Assert.Null(await marker.ApplyAsync(Rendered, CancellationToken.None));
        Assert.Null(marker.Trouble);
    }

    [Fact]
    public async Task Apply_KernelHoldsAnother_IsNoSuccess()
    {
        await marker.ProbeAsync(CancellationToken.None);
        Script("""
            [ "$1" = -f ] && exit 0
            echo 'table inet mlnet_sdn { comment "of somebody else" }'
            """);

        Assert.Contains("does not hold", await marker.ApplyAsync(Rendered, CancellationToken.None), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("drop everything\n")]
    [InlineData(null)]
    public async Task Repair_Changed_PutsItBack(string? change)
    {
        await marker.ProbeAsync(CancellationToken.None);
        await marker.ApplyAsync(Rendered, CancellationToken.None);
        var good = File.ReadAllText(PathOf("table"));
        if (change is null)
        {
            File.Delete(PathOf("table"));
        }
        else
        {
            File.AppendAllText(PathOf("table"), change);
        }

        Assert.True(await marker.RepairAsync(CancellationToken.None));

        Assert.Equal(good, File.ReadAllText(PathOf("table")));
        Assert.False(await marker.RepairAsync(CancellationToken.None));
    }

    [Fact]
    public async Task Repair_NothingToMarkButATableIsThere_TakesItOut()
    {
        await marker.ProbeAsync(CancellationToken.None);
        await marker.ApplyAsync(Ruleset.Removal, CancellationToken.None);
        File.WriteAllText(PathOf("table"), "table inet mlnet_sdn { }\n");

        Assert.True(await marker.RepairAsync(CancellationToken.None));

        Assert.False(File.Exists(PathOf("table")));
    }

    [Fact]
    public async Task Probe_NotPermitted_SaysWhichCapabilityAndNothingIsTried()
    {
        File.WriteAllText(PathOf("refuse"), "Operation not permitted (you must be root)\n");

        await marker.ProbeAsync(CancellationToken.None);

        Assert.Contains("CAP_NET_ADMIN", marker.Unavailable, StringComparison.Ordinal);
        File.Delete(PathOf("refuse"));
        Assert.Null(await marker.ApplyAsync(Rendered, CancellationToken.None));
        Assert.Equal(0, Loads);
    }

    [Fact]
    public async Task Probe_NoNft_SaysSo()
    {
        var without = new Marker(new SystemProgram("nft", PathOf("absent")), NullLogger.Instance);

        await without.ProbeAsync(CancellationToken.None);

        Assert.Contains("absent", without.Unavailable, StringComparison.Ordinal);
    }

    private string PathOf(string name) => Path.Combine(directory, name);

    private void Script(string body)
    {
        // Written aside and renamed: a shell may not run a file that is being written.
        File.WriteAllText(PathOf("nft.new"), $"#!/bin/sh\n{body}\n");
        File.SetUnixFileMode(PathOf("nft.new"), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        File.Move(PathOf("nft.new"), PathOf("nft"), overwrite: true);
    }
}
