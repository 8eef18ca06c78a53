namespace MLNet.SDN.Planning.Simulation;

/// <summary>What gradients cost on an Ethernet besides their own bytes.</summary>
public static class WireCost
{
    /// <summary>What a full segment holds: 1,500 bytes of IP, of which IPv4 without options takes 20 and TCP with timestamps 32.</summary>
    internal const int SegmentBytes = 1_500 - 20 - 32;

    // Behind 14 bytes of Ethernet.
    private const double FrameBytes = 1_514;

    // Linux acknowledges what it was handed at once: four segments under the emulation's largest hand-over of 6,000 bytes (docs/evaluation.md).
    private const double AcknowledgementBytes = 14 + 20 + 32;
    private const double SegmentsAcknowledged = 4;

    /// <summary>Bytes on a link for bytes of gradient. Sums and results take the same links in opposite directions, so each direction also carries the other's acknowledgements.</summary>
    public static double OfGradient(double bytes) => bytes * (FrameBytes + (AcknowledgementBytes / SegmentsAcknowledged)) / SegmentBytes;
}
