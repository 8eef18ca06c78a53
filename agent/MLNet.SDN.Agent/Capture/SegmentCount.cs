namespace MLNet.SDN.Agent.Capture;

/// <summary>What one captured frame was on the wire. The kernel merges segments before it hands them down (TSO, GSO) and after it received them (GRO), so that one frame stands for many packets.</summary>
/// <param name="Packets">Packets on the wire, ≥ 1.</param>
/// <param name="Octets">Their IP bytes, each with its own headers.</param>
internal readonly record struct SegmentCount(int Packets, long Octets)
{
    /// <summary>Counts the packets of a frame: payload cut into segments, each behind a copy of the headers.</summary>
    /// <param name="headers">The frame's headers.</param>
    /// <param name="segmentPayload">Payload of a segment as the kernel told it with the frame; 0 when it did not.</param>
    /// <param name="mtu">MTU of the interface, bytes: what it says of a frame that is longer and comes without a segment size.</param>
    public static SegmentCount Of(in PacketHeaders headers, int segmentPayload, int mtu)
    {
        var payload = headers.PacketBytes - headers.HeaderBytes;
        if (segmentPayload <= 0)
        {
            segmentPayload = headers.PacketBytes > mtu ? mtu - headers.HeaderBytes : payload;
        }

        if (payload <= segmentPayload || segmentPayload <= 0)
        {
            return new SegmentCount(1, headers.PacketBytes);
        }

        var packets = (payload + segmentPayload - 1) / segmentPayload;
        return new SegmentCount(packets, payload + ((long)packets * headers.HeaderBytes));
    }
}
