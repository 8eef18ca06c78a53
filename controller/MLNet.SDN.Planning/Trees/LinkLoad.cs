using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>What a forest puts on links, in bytes per byte of gradient; only links that carry something, in order of their numbers.</summary>
/// <remarks>Of links that always carry the same (<see cref="LinkClasses"/>) the first stands for all.</remarks>
internal sealed class LinkLoad
{
    private LinkLoad(int[] links, double[] bytes, double[] seconds, double utilisation)
    {
        Links = links;
        Bytes = bytes;
        SecondsPerByte = seconds;
        Utilisation = utilisation;
        for (var i = 0; i < links.Length; i++)
        {
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

    /// <summary>Of the amounts gathered, which are cleared.</summary>
    public static LinkLoad Of(LinkAmounts amounts, Fabric fabric)
    {
        int[] links = [.. amounts.Touched];
        Array.Sort(links);
        var bytes = new double[links.Length];
        var seconds = new double[links.Length];
        var utilisation = 0.0;
        for (var i = 0; i < links.Length; i++)
        {
            bytes[i] = amounts[links[i]];
            seconds[i] = bytes[i] * 8 / fabric.Graph.Links[links[i]].EvenRateBitsPerSecond;
            utilisation += seconds[i] * fabric.Classes.Size[links[i]];
        }

        amounts.Clear();
        return new(links, bytes, seconds, utilisation);
    }
}
