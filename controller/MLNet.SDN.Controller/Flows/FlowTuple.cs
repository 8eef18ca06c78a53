using System.Net;
using System.Net.Sockets;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Controller.Flows;

/// <summary>What sender and receiver of a flow agree on: addresses, ports and protocol. The code point is no part of it, since the network may change it.</summary>
internal readonly record struct FlowTuple(IPAddress Source, IPAddress Destination, int SourcePort, int DestinationPort, int Protocol)
{
    /// <summary>Reads the addresses of a record; IPv4 within IPv6 becomes IPv4.</summary>
    public static bool TryRead(FlowRecord record, out FlowTuple tuple)
    {
        tuple = default;
        if (!TryAddress(record.SourceAddress, out var source) || !TryAddress(record.DestinationAddress, out var destination))
        {
            return false;
        }

        tuple = new(source, destination, record.SourceTransportPort, record.DestinationTransportPort, record.ProtocolIdentifier);
        return true;
    }

    /// <summary>Stable while the flow lives.</summary>
    public override string ToString() => Source.AddressFamily == AddressFamily.InterNetworkV6
        ? $"{Protocol}/[{Source}]:{SourcePort}>[{Destination}]:{DestinationPort}"
        : $"{Protocol}/{Source}:{SourcePort}>{Destination}:{DestinationPort}";

    private static bool TryAddress(string text, out IPAddress address)
    {
        // IPAddress also reads "1" and "0x7f.1"; a capture never writes these.
        address = IPAddress.None;
        if (text.Length > 45 || !IPAddress.TryParse(text, out var parsed) || (parsed.AddressFamily == AddressFamily.InterNetwork && text.AsSpan().Count('.') != 3))
        {
            return false;
        }

        address = parsed.IsIPv4MappedToIPv6 ? parsed.MapToIPv4() : parsed;
        return true;
    }
}
