using System.Globalization;
using System.Net;
using System.Net.Sockets;
using MLNet.SDN.Agent.Capture;

namespace MLNet.SDN.Agent.Policies;

/// <summary>A CIDR prefix in the form that flows are compared with.</summary>
/// <param name="Value">The address, its host bits zero; IPv4 in the low 32 bits.</param>
/// <param name="Length">Bits that must agree, 0..32 or 0..128.</param>
/// <param name="IsIPv6">The family.</param>
internal readonly record struct AddressPrefix(UInt128 Value, int Length, bool IsIPv6)
{
    private int Width => IsIPv6 ? 128 : 32;

    /// <summary>The bits that count, as an address.</summary>
    public UInt128 Mask => Length == 0 ? UInt128.Zero : UInt128.MaxValue << (Width - Length);

    /// <summary>Reads <c>10.0.1.0/24</c> or a lone address. Host bits that are set are ignored, as routers do.</summary>
    public static bool TryParse(string text, out AddressPrefix prefix)
    {
        prefix = default;
        var slash = text.IndexOf('/', StringComparison.Ordinal);
        if (!IPAddress.TryParse(slash < 0 ? text : text[..slash], out var address) || address.ScopeIdOrZero() != 0)
        {
            return false;
        }

        var isIPv6 = address.AddressFamily == AddressFamily.InterNetworkV6;
        var length = isIPv6 ? 128 : 32;
        if (slash >= 0 && (!int.TryParse(text.AsSpan(slash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var given) || given > length))
        {
            return false;
        }
        else if (slash >= 0)
        {
            length = int.Parse(text.AsSpan(slash + 1), NumberStyles.None, CultureInfo.InvariantCulture);
        }

        prefix = new AddressPrefix(UInt128.Zero, length, isIPv6);
        prefix = prefix with { Value = FlowKey.FromAddress(address) & prefix.Mask };
        return true;
    }

    /// <summary>Whether an address of the given family lies in the prefix.</summary>
    public bool Contains(UInt128 address, bool isIPv6) => isIPv6 == IsIPv6 && (address & Mask) == Value;

    /// <summary>CIDR form.</summary>
    public override string ToString() => $"{FlowKey.ToAddress(Value, IsIPv6)}/{Length}";
}

/// <summary>Fills a gap of <see cref="IPAddress"/>.</summary>
internal static class IPAddressScope
{
    /// <summary>The scope of a link-local IPv6 address, else 0 (the framework's property throws for IPv4).</summary>
    public static long ScopeIdOrZero(this IPAddress address) => address.AddressFamily == AddressFamily.InterNetworkV6 ? address.ScopeId : 0;
}
