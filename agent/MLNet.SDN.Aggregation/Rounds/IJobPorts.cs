using MLNet.SDN.Aggregation.Memory;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

/// <summary>What a <see cref="JobEngine"/> asks of the world: sockets in production, plain calls in virtual time.</summary>
/// <remarks>Called with the engine's lock held: implementations only enqueue, never block, and never call the engine back.</remarks>
internal interface IJobPorts
{
    /// <summary>Sends over the signalling connection with the host; dropped when there is none.</summary>
    void Signal(string host, SignalMessage message);

    /// <summary>A round is about to send its first frame: what may change only between rounds changes now.</summary>
    void RoundBegins();

    /// <summary>Other hosts are exchanged with from now on: see <see cref="JobEngine.Peers"/>.</summary>
    void PeersChanged();

    /// <summary>Tells a worker where its stream lies in shared memory and which round comes first.</summary>
    void StreamOpened(int rank, uint stream, SharedArea area, ulong round);

    /// <summary>Tells a worker that its stream cannot be opened now.</summary>
    void StreamRefused(int rank, uint stream, string code, string message);

    /// <summary>Tells a worker that its result is there.</summary>
    void RoundDone(int rank, uint stream, ulong round);

    /// <summary>Tells a worker that its round is over without result.</summary>
    void RoundFailed(int rank, uint stream, ulong round, string code, string message);
}
