using MLNet.SDN.Agent.Capture;

namespace MLNet.SDN.Tests.Agent.Capture;

/// <summary>Packets without a payload, where a test is not about sequence numbers.</summary>
internal static class FlowTableCalls
{
    public static void Add(this FlowTable table, FlowKey key, SegmentCount size, TcpFlags flags, long ticks) =>
        table.Add(new PacketHeaders(key, 40, 40, flags), size, ticks);
}
