using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Queues;

/// <summary>Renders the queues of an interface's egress for <c>tc -batch</c>: the classes of the ladder, each with its floor. Pure.</summary>
/// <remarks>
/// HTB with u32 filters, which every kernel has that can classify at all: what a class may borrow beyond its floor goes in strict order, or by weight where
/// the ladder gives weights. Packets without a class of their own are served as CS0. Work-conserving: an idle class costs the others nothing.
/// </remarks>
internal static class EgressQueues
{
    /// <summary>Handle of our root, "ml" in ASCII: no kernel gives it by itself (those have major numbers from 8000 on), so that it tells our queues from others'.</summary>
    public const string Handle = "6d6c:";

    private const int FirstMinor = 0x10;
    private const int FrameBytes = 1514;

    // A host's own queue should not drop: TCP counts such a packet as sent. TCP small queues keep each socket to about two segments here.
    private const int QueueBytes = 4_000_000;

    // HTB is woken by the clock: within a tick of 4 ms it must be able to send what the rate allows, and never less than two frames.
    private const double TickSeconds = 0.004;
    private const int LeastBurstBytes = 3200;

    // More would let one class hold the link for long, less costs processor time at high rates.
    private const int MostQuantumBytes = 60_000;

    /// <summary>Renders the queues.</summary>
    /// <param name="interfaceName">The interface.</param>
    /// <param name="rateBitsPerSecond">Rate of its link, bit/s, above 0.</param>
    /// <param name="ladder">The classes.</param>
    /// <returns>Lines for <c>tc -batch</c>, on an interface without a root of its own.</returns>
    public static string Render(string interfaceName, long rateBitsPerSecond, PriorityLadder ladder)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rateBitsPerSecond);
        var lines = new StringBuilder();
        void Line(string line) => lines.Append(line).Append('\n');

        var classes = ladder.Classes;
        var burst = (long)Math.Max(LeastBurstBytes, rateBitsPerSecond / 8.0 * TickSeconds);
        var shape = string.Create(CultureInfo.InvariantCulture, $"ceil {rateBitsPerSecond}bit burst {burst} cburst {burst}");
        var isWeighted = ladder.JobWeights().Count > 0;
        var heaviest = isWeighted ? ladder.JobWeights().Max() : 1;
        var quantum = Math.Clamp(rateBitsPerSecond / 8 / 1000, FrameBytes, MostQuantumBytes);
        var root = Invariant($"qdisc add dev {interfaceName} root handle {Handle} htb default {Minor(Default(ladder))}");
        Line(Invariant($"class add dev {interfaceName} parent {Handle} classid {Handle}1 htb rate {rateBitsPerSecond}bit {shape} quantum {quantum}"));
        for (var i = 0; i < classes.Count; i++)
        {
            var @class = classes[i];

            // HTB wants some rate; a floor of nothing is one kilobit.
            var rate = Math.Max(1000, (long)(rateBitsPerSecond * @class.Floor));
            var order = isWeighted && !@class.Signalling ? 1 : Math.Min(i, 7);
            var share = isWeighted && @class.Weight is { } weight ? Math.Max(FrameBytes, (long)(MostQuantumBytes * weight / heaviest)) : quantum;
            Line(Invariant($"class add dev {interfaceName} parent {Handle}1 classid {Handle}{Minor(i)} htb rate {rate}bit {shape} prio {order} quantum {share}"));
            Line(Invariant($"qdisc add dev {interfaceName} parent {Handle}{Minor(i)} handle {Minor(i)}: bfifo limit {QueueBytes}"));
            if (i == Default(ladder))
            {
                continue;
            }

            // The code point is the upper six bits of the second byte of IPv4, and of the traffic class that follows IPv6's version.
            var dscp = @class.Dscp.Value;
            Line(Invariant($"filter add dev {interfaceName} parent {Handle} protocol ip prio 1 u32 match u8 0x{dscp << 2:x2} 0xfc at 1 flowid {Handle}{Minor(i)}"));
            Line(Invariant($"filter add dev {interfaceName} parent {Handle} protocol ipv6 prio 2 u32 match u16 0x{dscp << 6:x4} 0x0fc0 at 0 flowid {Handle}{Minor(i)}"));
        }

        return $"{root} {MarkOf(lines.ToString())}\n{lines}";
    }

    /// <summary>What <c>tc qdisc show</c> tells of a root whose classes were rendered so.</summary>
    /// <remarks>HTB's <c>r2q</c>, which only counts for classes without a quantum, and so is free to carry a digest of the rest.</remarks>
    public static string MarkOf(string lines) =>
        Invariant($"r2q {(BinaryPrimitives.ReadUInt32LittleEndian(SHA256.HashData(Encoding.ASCII.GetBytes(lines))) & 0x3FFFFFFF) + 1}");

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    // tc reads these in hexadecimal.
    private static string Minor(int index) => (FirstMinor + index).ToString("x", CultureInfo.InvariantCulture);

    private static int Default(PriorityLadder ladder)
    {
        for (var i = 0; i < ladder.Classes.Count; i++)
        {
            if (ladder.Classes[i].Dscp == Dscp.Default)
            {
                return i;
            }
        }

        return ladder.Classes.Count - 1;
    }
}
