using Microsoft.Extensions.Logging.Abstractions;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Trees;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation.Model;

/// <summary>A host with its agent, which may die and be started anew with nothing but the last plan on its disk.</summary>
internal sealed class VirtualHost : IJobPorts
{
    private readonly VirtualFabric _fabric;

    public VirtualHost(VirtualFabric fabric, string name, AggregationJob job)
    {
        _fabric = fabric;
        Name = name;
        Plan = job;
        Engine = Boot();
    }

    public string Name { get; }

    public JobEngine Engine { get; private set; }

    /// <summary>Newest plan that the host was given.</summary>
    public AggregationJob Plan { get; private set; }

    public ulong Life { get; private set; }

    /// <summary>Its agent is there.</summary>
    public bool Up { get; private set; } = true;

    /// <summary>Its agent is stopped: it does nothing, and nobody is told.</summary>
    public bool Frozen { get; set; }

    public bool Runs => Up && !Frozen;

    public Dictionary<int, VirtualWorker> Workers { get; } = [];

    public void Apply(AggregationJob job)
    {
        Plan = job;
        if (Up)
        {
            Engine.Apply(job, Trees());
        }
    }

    /// <summary>The agent dies. What it held is gone but for its workers' memory.</summary>
    public void Crash()
    {
        Up = false;
        Frozen = false;
        Engine.Abandon();
    }

    public void Start()
    {
        Up = true;
        Engine = Boot();
    }

    public void Signal(string host, SignalMessage message) => _fabric.Signal(this, host, message);

    public void RoundBegins()
    {
    }

    public void PeersChanged()
    {
    }

    public void StreamOpened(int rank, uint stream, SharedArea area, ulong round) => Workers[rank].Opened(stream, area, round);

    public void StreamRefused(int rank, uint stream, string code, string message) => Workers[rank].Refused(stream, code, message);

    public void RoundDone(int rank, uint stream, ulong round) => Workers[rank].Done(stream, round);

    public void RoundFailed(int rank, uint stream, ulong round, string code, string message) => Workers[rank].Failed(stream, round, code, message);

    private JobEngine Boot()
    {
        Life = _fabric.NextLife();
        return new JobEngine(
            Name, Plan, Trees(), new EngineSettings(Life.ToString(System.Globalization.CultureInfo.InvariantCulture), EngineSettings.UsualPatience, _fabric.Fault),
            _fabric.Pool, this, _fabric.Time, NullLogger.Instance);
    }

    private TreeSet Trees()
    {
        var fault = TreeSet.TryCreate(Plan, Name, out var trees);
        GuaranteeBrokenException.Unless(fault is null, fault ?? "");
        return trees!;
    }
}
