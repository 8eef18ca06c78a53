using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Agent;
using MLNet.SDN.Agent.Marking;
using MLNet.SDN.Agent.Policies;
using MLNet.SDN.Agent.Session;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Contracts;
using MLNet.SDN.Tests.Agent.Policies;

namespace MLNet.SDN.Tests.Agent.Session;

public sealed class PolicyInstallerTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("mlnet-installer-").FullName;
    private readonly Marker marker = new(new SystemProgram("nft", "/nonexistent"), NullLogger.Instance);
    private readonly List<IReadOnlyList<AggregationJob>> applied = [];

    public PolicyInstallerTests() => marker.Disable("not in this test");

    private static IReadOnlySet<(string Key, int Uid)> None => new HashSet<(string Key, int Uid)>();

    private PolicyStore Store => new(directory, PolicySamples.Host);

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public async Task Install_SameRevisionAgain_IsAcknowledgedAgain()
    {
        using var installer = Installer();
        Assert.True((await installer.InstallAsync(PolicySamples.Policy(2, PolicySamples.Job()), default)).Applied);

        Assert.True((await installer.InstallAsync(PolicySamples.Policy(2, PolicySamples.Job()), default)).Applied);

        Assert.Equal(new Revision(1, 2), installer.Current.Revision);
    }

    [Fact]
    public async Task Install_Faulty_ChangesNothingAndNamesTheField()
    {
        using var installer = Installer();
        await installer.InstallAsync(PolicySamples.Policy(2, PolicySamples.Job()), default);

        var ack = await installer.InstallAsync(PolicySamples.Policy(3, PolicySamples.Job(dscp: 46)), default);

        Assert.False(ack.Applied);
        Assert.Contains("jobs[0].dscp (EF)", ack.Error, StringComparison.Ordinal);
        Assert.Equal(new Revision(1, 2), installer.Current.Revision);
        Assert.Equal(2, Store.Load()!.Revision.Generation);
        Assert.Single(applied);
    }

    [Fact]
    public async Task Install_NullInside_IsRefusedNotThrown()
    {
        using var installer = Installer();

        var ack = await installer.InstallAsync(PolicySamples.Policy(1, PolicySamples.Job(), null!), default);

        Assert.Contains("null", ack.Error, StringComparison.Ordinal);
        Assert.Empty(applied);
    }

    [Fact]
    public async Task Install_DataPlaneRefuses_OldPolicyStays()
    {
        using var installer = Installer(jobs =>
        {
            if (jobs.Count == 2)
            {
                throw new ArgumentException("trees do not fit");
            }

            return [];
        });
        await installer.InstallAsync(PolicySamples.Policy(1, PolicySamples.Job()), default);

        var ack = await installer.InstallAsync(PolicySamples.Policy(2, PolicySamples.Job(1, "a"), PolicySamples.Job(2, "b")), default);

        Assert.Contains("trees do not fit", ack.Error, StringComparison.Ordinal);
        Assert.Equal(new Revision(1, 1), installer.Current.Revision);
        Assert.Equal(1, Store.Load()!.Revision.Generation);
    }

    [Fact]
    public async Task Restore_AfterARestart_IsInForceBeforeAnyController()
    {
        using (var before = Installer())
        {
            await before.InstallAsync(PolicySamples.Policy(4, PolicySamples.Job()), default);
        }

        applied.Clear();
        using var after = Installer();
        await after.RestoreAsync(default);

        Assert.Equal(new Revision(1, 4), after.Current.Revision);
        Assert.Single(Assert.Single(applied));
    }

    [Fact]
    public async Task Restore_JobThatWasGone_ItsMarksDoNotComeBack()
    {
        var policy = PolicySamples.Policy(4, PolicySamples.Job(7, "gloo", 2, 26, new FlowSelector { Protocol = "tcp", DestinationPortFrom = 5000 }));
        LocalSocket its = new(1, 40_000, 2, 5000, 6, IsIPv6: false, 1000), strange = its with { Uid = 2000 };
        using (var before = Installer())
        {
            await before.InstallAsync(policy, default);
            await before.WithdrawAsync([its], None, default);
            Assert.NotEmpty(before.Current.Selectors);
        }

        // It ends while no agent runs.
        using (var meanwhile = Installer())
        {
            await meanwhile.RestoreAsync(default);
            Assert.NotEmpty(meanwhile.Current.Selectors);
            await meanwhile.WithdrawAsync([strange], None, default);
            await meanwhile.WithdrawAsync([strange], None, default);
            Assert.Empty(meanwhile.Current.Selectors);
        }

        using (var after = Installer())
        {
            await after.RestoreAsync(default);
            Assert.Empty(after.Current.Selectors);
            await after.InstallAsync(policy with { Revision = new Revision(1, 5) }, default);
            Assert.Empty(after.Current.Selectors);
            await after.InstallAsync(policy with { Revision = new Revision(1, 6), Jobs = [policy.Jobs[0] with { TreesRevision = new Revision(1, 6) }] }, default);
            Assert.NotEmpty(after.Current.Selectors);
        }

        // Disabling leaves nothing of it; a damaged file is no reason not to mark.
        File.WriteAllText(Path.Combine(directory, $"{PolicySamples.Host}.seen.json"), "[null]");
        using var damaged = Installer();
        await damaged.RestoreAsync(default);
        Assert.NotEmpty(damaged.Current.Selectors);
        Store.Delete();
        Assert.Empty(Directory.GetFiles(directory));
    }

    [Theory]
    [InlineData("{")]
    [InlineData("""{"host":"h9-9-9","revision":{"term":1,"generation":1},"ladder":{"classes":[{"dscp":"CS5","floor":0.05,"signalling":true}]},"jobs":[]}""")]
    public async Task Restore_Unusable_StartsWithout(string saved)
    {
        File.WriteAllText(Store.FilePath, saved);
        using var installer = Installer();

        await installer.RestoreAsync(default);

        Assert.Same(InstalledPolicy.None, installer.Current);
        Assert.True((await installer.InstallAsync(PolicySamples.Policy(1), default)).Applied);
    }

    [Fact]
    public async Task Install_CannotBeSaved_IsInForceAndATrouble()
    {
        using var installer = new PolicyInstaller(
            PolicySamples.Host, Guid.NewGuid(), marker, Take, 7471, new PolicyStore("/proc/none", PolicySamples.Host), NullLogger.Instance);

        var ack = await installer.InstallAsync(PolicySamples.Policy(1), default);

        Assert.True(ack.Applied, ack.Error);
        Assert.Contains("could not be saved", installer.Trouble, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Install_PlanAtFault_IsInForceAndAcknowledgedWithTheJob()
    {
        IReadOnlyList<PlanFault> faults = [new PlanFault(7, "job bert: shard 0 has no root")];
        using var installer = Installer(_ => faults);

        var ack = await installer.InstallAsync(PolicySamples.Policy(1), default);

        Assert.True(ack.Applied, ack.Error);
        Assert.Equal([new JobFault(7, "job bert: shard 0 has no root")], ack.JobFaults);
        Assert.Equal(ack.JobFaults, installer.JobFaults);

        faults = [];
        Assert.Empty((await installer.InstallAsync(PolicySamples.Policy(2), default)).JobFaults);
        Assert.Empty(installer.JobFaults);
    }

    private PolicyInstaller Installer(Func<IReadOnlyList<AggregationJob>, IReadOnlyList<PlanFault>>? apply = null) =>
        new(PolicySamples.Host, Guid.NewGuid(), marker, apply ?? Take, 7471, Store, NullLogger.Instance);

    private IReadOnlyList<PlanFault> Take(IReadOnlyList<AggregationJob> jobs)
    {
        applied.Add(jobs);
        return [];
    }
}
