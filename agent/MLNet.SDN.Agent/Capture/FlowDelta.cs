using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Capture;

/// <summary>Octets and packets of a flow since it was last collected.</summary>
/// <param name="Key">The flow.</param>
/// <param name="FirstTicks">First packet of the interval, UTC ticks.</param>
/// <param name="LastTicks">Last packet of the interval, UTC ticks.</param>
/// <param name="Octets">IP octets, headers included.</param>
/// <param name="Packets">Packets.</param>
/// <param name="Reason">Whether and why the flow ends here.</param>
/// <param name="Retransmissions">Of the packets, those of TCP that carried again what had been seen; see <see cref="TcpProgress"/>.</param>
/// <param name="OutOfOrder">Of the packets, those of TCP that were overtaken on their way.</param>
/// <param name="HandshakeTicks">Ticks from a connection's first SYN to this flow's SYN+ACK, in the interval in which that was seen; else 0.</param>
internal readonly record struct FlowDelta(
    FlowKey Key, long FirstTicks, long LastTicks, long Octets, long Packets, FlowEndReason Reason, long Retransmissions = 0, long OutOfOrder = 0, long HandshakeTicks = 0);

/// <summary>Which flows a collection takes.</summary>
internal enum CollectScope
{
    /// <summary>Those that ended.</summary>
    Ended,

    /// <summary>Those that ended and those that carried anything since they were last taken.</summary>
    Changed,

    /// <summary>All, and the table is empty afterwards.</summary>
    Everything,
}
