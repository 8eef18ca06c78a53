using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Tests.Aggregation.Model;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>Everything that may die does, in virtual time. <c>./run bench chaos</c> runs more seeds of the same.</summary>
public class ChaosTests
{
    [Fact]
    public void Guarantees_WhateverFails_Hold()
    {
        var outcomes = Enumerable.Range(0, 300).Concat([623, 638, 686]).AsParallel().Select(seed => ChaosRun.Run(seed)).ToList();

        Assert.Empty(outcomes.Where(o => o.Broken is not null).OrderBy(o => o.Seed).Select(o => $"seed {o.Seed}: {o.Broken}").Take(5));
        Assert.True(outcomes.Sum(o => o.Redone) > 100, "hardly a round was redone: the faults meet nothing");
    }

    [Fact]
    public void Guarantees_OfAJobWithServer_Hold()
    {
        var outcomes = Enumerable.Range(0, 200).Append(704).AsParallel().Select(seed => ChaosRun.Run(seed, server: true)).ToList();

        Assert.Empty(outcomes.Where(o => o.Broken is not null).OrderBy(o => o.Seed).Select(o => $"seed {o.Seed}: {o.Broken}").Take(5));
        Assert.True(outcomes.Sum(o => o.Redone) > 100, "hardly a round was redone: the faults meet nothing");
    }

    [Fact]
    public void Guarantees_OfAJobWithServerThatMergesAcrossEpochs_DoNotHold() =>
        Assert.Contains(Enumerable.Range(0, 1000), seed => ChaosRun.Run(seed, ProtocolFault.MergeAcrossEpochs, server: true).Broken is not null);

    [Theory]
    [InlineData(ProtocolFault.MergeAcrossEpochs)]
    [InlineData(ProtocolFault.ForgetPromise)]
    [InlineData(ProtocolFault.TwoSuccessors)]
    [InlineData(ProtocolFault.UnannouncedSwitch)]
    internal void Guarantees_RuleBroken_DoNotHold(ProtocolFault fault)
    {
        Assert.Contains(Enumerable.Range(0, 1000), seed => ChaosRun.Run(seed, fault).Broken is not null);
    }
}
