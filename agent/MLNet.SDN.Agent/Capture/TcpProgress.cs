using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Capture;

/// <summary>How far one side of a TCP connection has come, and how often it had to go back. Sequence numbers: RFC 9293 §3.4.</summary>
/// <remarks>
/// A packet that begins below the highest byte seen repeats something, or was overtaken. What this host sends leaves in order, so that it can only be a
/// repetition. Of what it receives, one that comes within 3 ms of the packet that it should have preceded counts as overtaken (the rule of
/// Wireshark's <c>tcp.analysis.out_of_order</c>): no sender learns of a loss and repairs it in that time, except on the shortest paths.
/// Probes of an idle connection, one byte below the next (RFC 9293 §3.8.4), are neither.
/// </remarks>
internal struct TcpProgress
{
    private static readonly long OvertakingTicks = TimeSpan.FromMilliseconds(3).Ticks;

    /// <summary>Packets that carried again what had been seen.</summary>
    public int Retransmissions;

    /// <summary>Packets that were overtaken.</summary>
    public int OutOfOrder;

    private long advancedTicks;
    private uint next;
    private bool isKnown;

    /// <summary>Looks at a frame.</summary>
    /// <param name="headers">Its headers.</param>
    /// <param name="packets">Packets on the wire that it stands for.</param>
    /// <param name="ticks">When it was seen.</param>
    public void Add(in PacketHeaders headers, int packets, long ticks)
    {
        var payload = (uint)(headers.PacketBytes - headers.HeaderBytes);
        var length = payload + ((headers.Flags & TcpFlags.Syn) != 0 ? 1u : 0) + ((headers.Flags & TcpFlags.Fin) != 0 ? 1u : 0);

        // Fragments after the first have neither ports nor a sequence number.
        if (length == 0 || (headers.Key.SourcePort | headers.Key.DestinationPort) == 0)
        {
            return;
        }

        // Differences of sequence numbers are signed: they wrap.
        var ahead = isKnown ? (int)(headers.Sequence - next) : 0;
        if (ahead < 0)
        {
            if (ahead == -1 && payload == length && payload == 1)
            {
                return;
            }

            if (headers.Key.Direction == FlowDirection.Ingress && (ulong)(ticks - advancedTicks) < (ulong)OvertakingTicks)
            {
                OutOfOrder += packets;
            }
            else
            {
                Retransmissions += packets;
            }
        }

        var end = headers.Sequence + length;
        if (!isKnown || (int)(end - next) > 0)
        {
            (next, advancedTicks, isKnown) = (end, ticks, true);
        }
    }
}
