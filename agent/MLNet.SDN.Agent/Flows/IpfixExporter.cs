using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Flows;

/// <summary>Sends flow records to an IPFIX collector over UDP (RFC 7011 §10.3). One caller at a time.</summary>
/// <remarks>
/// UDP may lose messages; the sequence number lets the collector notice. Templates go ahead of the records at least every 30 s, so that a
/// collector that starts later, or again, reads on soon. Records of flows that ended without another packet carry nothing to count and are left out.
/// </remarks>
internal sealed class IpfixExporter : IDisposable
{
    private const uint ObservationDomain = 1;

    private static readonly TimeSpan TemplateInterval = TimeSpan.FromSeconds(30);

    private readonly IPEndPoint collector;
    private readonly TimeProvider time;
    private readonly ILogger logger;
    private readonly Socket socket;
    private readonly byte[] buffer = new byte[IpfixMessage.MaxBytes];
    private long? templatesAt;
    private uint sequence;
    private bool isFailing;

    /// <summary>Creates an exporter; nothing is sent yet.</summary>
    public IpfixExporter(IPEndPoint collector, TimeProvider time, ILogger logger)
    {
        (this.collector, this.time, this.logger) = (collector, time, logger);
        socket = new Socket(collector.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
    }

    /// <summary>Sends what was counted.</summary>
    /// <param name="deltas">The flows.</param>
    /// <param name="records">The same, described: what the policy says of them.</param>
    public void Export(ReadOnlySpan<FlowDelta> deltas, ReadOnlySpan<FlowRecord> records)
    {
        for (var i = 0; i < deltas.Length;)
        {
            var message = new IpfixMessage(buffer);
            var withTemplates = templatesAt is not { } at || time.GetElapsedTime(at) >= TemplateInterval;
            if (withTemplates)
            {
                message.AddTemplates();
            }

            while (i < deltas.Length && (deltas[i].Packets == 0 || message.TryAdd(deltas[i], records[i].PostIpDiffServCodePoint)))
            {
                i++;
            }

            if (message.Records > 0 && TrySend(message.Finish(time.GetUtcNow(), sequence, ObservationDomain)) && withTemplates)
            {
                templatesAt = time.GetTimestamp();
            }

            // Counted also when it could not be sent: the collector is to notice.
            sequence += (uint)message.Records;
        }
    }

    /// <inheritdoc />
    public void Dispose() => socket.Dispose();

    private bool TrySend(ReadOnlySpan<byte> message)
    {
        try
        {
            socket.SendTo(message, SocketFlags.None, collector);
            isFailing = false;
            return true;
        }
        catch (SocketException exception)
        {
            if (!isFailing)
            {
                FlowLog.ExportFailed(logger, collector, exception.Message);
            }

            isFailing = true;
            return false;
        }
    }
}
