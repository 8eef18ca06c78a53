namespace MLNet.SDN.Agent.Capture;

/// <summary>Which way a frame went.</summary>
internal enum FrameOrigin
{
    /// <summary>To this host.</summary>
    Received,

    /// <summary>From this host.</summary>
    Sent,

    /// <summary>Neither: seen in passing, as a promiscuous interface does.</summary>
    Foreign,

    /// <summary>The source cannot tell; the sender's address must.</summary>
    Unknown,
}

/// <summary>What is known of a frame beside its bytes.</summary>
/// <param name="Ticks">When it was seen, UTC ticks.</param>
/// <param name="WireBytes">Length before it was cut, link layer included.</param>
/// <param name="Origin">Which way it went.</param>
/// <param name="SegmentPayload">Payload bytes of each segment the kernel merged into it; 0 when it is one packet or nobody knows.</param>
internal readonly record struct FrameInfo(long Ticks, int WireBytes, FrameOrigin Origin, int SegmentPayload);

/// <summary>Where frames come from: a live interface or a file. One thread uses it.</summary>
internal interface IFrameSource : IDisposable
{
    /// <summary>MTU of the interface, bytes: longest IP packet that is not a merged one.</summary>
    int Mtu { get; }

    /// <summary>Frames that were lost before they could be read, since the source was opened.</summary>
    long Drops { get; }

    /// <summary>Hands what has arrived to the meter; waits for it at most as long as told.</summary>
    /// <returns>False when nothing will come any more.</returns>
    /// <exception cref="IOException">The source broke; open it again.</exception>
    bool Read(FlowMeter meter, TimeSpan wait);

    /// <summary>Hands over what has arrived by now, though the source would rather have gathered more first; then <see cref="Drops"/> is exact. The last call before the end.</summary>
    void Finish(FlowMeter meter);
}
