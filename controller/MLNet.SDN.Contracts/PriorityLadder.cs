namespace MLNet.SDN.Contracts;

/// <summary>One class of the ladder.</summary>
public sealed record LadderClass
{
    /// <summary>What the packets of this class carry.</summary>
    public required Dscp Dscp { get; init; }

    /// <summary>Share of a link that this class keeps whatever the others send, 0..1.</summary>
    public required double Floor { get; init; }

    /// <summary>Weight by which queues share a link with each other instead of in strict order, above 0; null where the order is strict.</summary>
    public double? Weight { get; init; }

    /// <summary>True for the controller's and agents' own signalling, which no job may use.</summary>
    public bool Signalling { get; init; }
}

/// <summary>The classes that every queue of the fabric serves, highest first: strict order above guaranteed floors, or job levels that share by weights.</summary>
public sealed record PriorityLadder
{
    /// <summary>Classes, highest first.</summary>
    public required IReadOnlyList<LadderClass> Classes { get; init; }

    /// <summary>CS5 for signalling, then the job levels AF41, AF31, AF21, AF11, CS0 (also everything that is not ours) and LE; 5 % floors.</summary>
    public static PriorityLadder Standard { get; } = new()
    {
        Classes =
        [
            new() { Dscp = new(40), Floor = 0.05, Signalling = true },
            new() { Dscp = new(34), Floor = 0.05 },
            new() { Dscp = new(26), Floor = 0.05 },
            new() { Dscp = new(18), Floor = 0.05 },
            new() { Dscp = new(10), Floor = 0.05 },
            new() { Dscp = new(0), Floor = 0.05 },
            new() { Dscp = new(1), Floor = 0.05 },
        ],
    };

    /// <summary>Levels open to jobs, highest first: the classes that are not signalling. Job level 1 is the first of them.</summary>
    public IReadOnlyList<Dscp> JobLevels() => [.. Classes.Where(c => !c.Signalling).Select(c => c.Dscp)];

    /// <summary>Weights of the job levels, highest first; empty where any of them is served in strict order.</summary>
    public IReadOnlyList<double> JobWeights() => Classes.Where(c => !c.Signalling).All(c => c.Weight > 0) ? [.. Classes.Where(c => !c.Signalling).Select(c => c.Weight!.Value)] : [];

    /// <summary>The code point of signalling.</summary>
    public Dscp SignallingDscp() => Classes.First(c => c.Signalling).Dscp;
}
