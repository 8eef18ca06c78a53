using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>What a forest puts on links, in bytes per byte of gradient; only links that carry something, in order of their numbers.</summary>
internal sealed class LinkLoad
{
    private LinkLoad(int[] links, double[] bytes, double[] seconds)
    {
        Links = links;
        Bytes = bytes;
        SecondsPerByte = seconds;
        for (var i = 0; i < links.Length; i++)
        {
            Utilisation += seconds[i];
            if (seconds[i] > BottleneckSecondsPerByte)
            {
                BottleneckSecondsPerByte = seconds[i];
                Bottleneck = links[i];
            }
        }
    }

    public int[] Links { get; }

    /// <summary>Bytes on the link per byte of gradient.</summary>
    public double[] Bytes { get; }

    /// <summary>Time the link needs per byte of gradient, alone.</summary>
    public double[] SecondsPerByte { get; }

    /// <summary>Time of the slowest link per byte of gradient; 0 when no link is used.</summary>
    public double BottleneckSecondsPerByte { get; }

    /// <summary>The slowest link, the first of equals; -1 when none is used.</summary>
    public int Bottleneck { get; } = -1;

    /// <summary>Sum over links of the time each needs per byte: less of it leaves more to others.</summary>
    public double Utilisation { get; }

    public static LinkLoad FromDense(double[] bytes, Fabric fabric)
    {
        int[] links = [.. Enumerable.Range(0, bytes.Length).Where(l => bytes[l] > 0)];
        return new(links, [.. links.Select(l => bytes[l])], [.. links.Select(l => bytes[l] * 8 / fabric.Graph.Links[l].EvenRateBitsPerSecond)]);
    }
}
