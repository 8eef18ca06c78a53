namespace MLNet.SDN.Agent.Capture;

/// <summary>Joins SYNs with the SYN+ACKs that answer them, though the two are different flows. Not thread-safe.</summary>
/// <remarks>
/// Of constant size: a storm of SYNs overwrites what waits, and a handshake that lost its place is reported as unknown. The acknowledgement must fit the
/// SYN's sequence number, so that no other connection's time is taken for its.
/// </remarks>
internal sealed class HandshakeTimes
{
    private const int Places = 1024;

    private readonly Waiting[] places = new Waiting[Places];

    /// <summary>Remembers a SYN. A repeated one does not count: the time is that from the first.</summary>
    public void Begin(in PacketHeaders headers, long ticks)
    {
        var key = headers.Key;
        var hash = HashOf(new FlowKey(key.Source, key.Destination, key.SourcePort, key.DestinationPort, key.Protocol, 0, default, key.IsIPv6));
        ref var place = ref places[hash & (Places - 1)];
        if (place.Ticks == 0 || place.Hash != hash || place.Sequence != headers.Sequence)
        {
            place = new Waiting(ticks, hash, headers.Sequence);
        }
    }

    /// <summary>Ticks between the SYN and this answer to it; 0 when the SYN is not known, at least 1 when it is.</summary>
    public long Complete(in PacketHeaders headers, long ticks)
    {
        var key = headers.Key;
        var hash = HashOf(new FlowKey(key.Destination, key.Source, key.DestinationPort, key.SourcePort, key.Protocol, 0, default, key.IsIPv6));
        ref var place = ref places[hash & (Places - 1)];
        if (place.Ticks == 0 || place.Hash != hash || place.Sequence + 1 != headers.Acknowledgement)
        {
            return 0;
        }

        var taken = Math.Max(1, ticks - place.Ticks);
        place = default;
        return taken;
    }

    private static int HashOf(in FlowKey key) => key.GetHashCode();

    private readonly record struct Waiting(long Ticks, int Hash, uint Sequence);
}
