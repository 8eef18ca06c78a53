using System.Diagnostics;
using System.Net.NetworkInformation;
using PacketDotNet;
using SharpPcap;
using SharpPcap.LibPcap;

namespace MLNet.SDN.Agent.Capture;

/// <summary>Frames of a live interface through SharpPcap and libpcap, in builds with <c>-p:UseSharpPcap=true</c>. Needs CAP_NET_RAW.</summary>
/// <remarks>
/// For systems without packet(7) rings. It allocates per packet and does not learn what the kernel merged, so packets of merged frames are estimated
/// by the MTU; and it cannot tell sent from received, so the host's own addresses must.
/// </remarks>
internal sealed class SharpPcapFrameSource : IFrameSource
{
    private const int SnapLength = 160;
    private const int FramesPerRead = 1024;

    private readonly LibPcapLiveDevice device;

    private SharpPcapFrameSource(LibPcapLiveDevice device, int mtu) => (this.device, Mtu) = (device, mtu);

    /// <inheritdoc />
    public int Mtu { get; }

    /// <inheritdoc />
    public long Drops => device.Statistics?.DroppedPackets ?? 0;

    /// <summary>Begins to capture.</summary>
    /// <param name="interfaceName">Kernel name of the interface.</param>
    /// <param name="bufferBytes">Bytes that libpcap asks of the kernel.</param>
    /// <exception cref="IOException">It is not possible.</exception>
    public static SharpPcapFrameSource Open(string interfaceName, int bufferBytes)
    {
        try
        {
            var device = LibPcapLiveDeviceList.New().FirstOrDefault(d => d.Name == interfaceName) ?? throw new IOException($"there is no interface {interfaceName}");
            device.Open(new DeviceConfiguration { Mode = DeviceModes.None, Snaplen = SnapLength, ReadTimeout = 100, BufferSize = bufferBytes });
            return new SharpPcapFrameSource(device, Interface(interfaceName)?.GetIPProperties().GetIPv4Properties()?.Mtu ?? 1500);
        }
        catch (PcapException exception)
        {
            throw new IOException(exception.Message, exception);
        }
    }

    /// <summary>Addresses of an interface: what they send is egress.</summary>
    public static IEnumerable<UInt128> AddressesOf(string interfaceName) =>
        Interface(interfaceName)?.GetIPProperties().UnicastAddresses.Select(a => FlowKey.FromAddress(a.Address)) ?? [];

    /// <inheritdoc />
    public bool Read(FlowMeter meter, TimeSpan wait)
    {
        var clock = Stopwatch.StartNew();
        do
        {
            var status = ReadOne(meter);
            for (var i = 1; status == GetPacketStatus.PacketRead && i < FramesPerRead; i++)
            {
                status = ReadOne(meter);
            }

            if (status is not (GetPacketStatus.PacketRead or GetPacketStatus.ReadTimeout))
            {
                throw new IOException($"{device.Name}: {device.LastError}");
            }

            if (status == GetPacketStatus.PacketRead)
            {
                return true;
            }
        }
        while (clock.Elapsed < wait);

        return true;
    }

    /// <inheritdoc />
    public void Finish(FlowMeter meter) => Read(meter, TimeSpan.Zero);

    /// <inheritdoc />
    public void Dispose() => device.Dispose();

    private static NetworkInterface? Interface(string name) => NetworkInterface.GetAllNetworkInterfaces().FirstOrDefault(i => i.Name == name);

    // Waiting for a packet happens outside the batch: the lock is for counting alone.
    private GetPacketStatus ReadOne(FlowMeter meter)
    {
        var status = device.GetNextPacket(out var packet);
        if (status == GetPacketStatus.PacketRead)
        {
            var wire = packet.Header is PcapHeader header ? (int)header.PacketLength : packet.Data.Length;
            var link = device.LinkType == LinkLayers.Ethernet ? LinkLayer.Ethernet : LinkLayer.RawIP;
            using (meter.Batch())
            {
                meter.Add(new FrameInfo(packet.Header.Timeval.Date.Ticks, wire, FrameOrigin.Unknown, 0), packet.Data, link, Mtu);
            }
        }

        return status;
    }
}
