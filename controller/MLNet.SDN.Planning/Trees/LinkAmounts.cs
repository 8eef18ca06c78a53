using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Planning.Trees;

/// <summary>Amounts by link, gathered: memory that is made once for a thread, and costs only what is touched. Not thread-safe.</summary>
internal sealed class LinkAmounts
{
    [ThreadStatic]
    private static LinkAmounts? mine;

    private readonly double[] amount;
    private readonly bool[] isTouched;
    private readonly List<int> touched = [];

    private LinkAmounts(int links)
    {
        amount = new double[links];
        isTouched = new bool[links];
    }

    /// <summary>Links that something was added to, in order of the first time.</summary>
    public IReadOnlyList<int> Touched => touched;

    public double this[int link] => amount[link];

    /// <summary>The thread's own, empty; whoever takes it clears it before anyone else takes it.</summary>
    public static LinkAmounts For(Fabric fabric)
    {
        if (mine is null || mine.amount.Length < fabric.Graph.Links.Length)
        {
            mine = new(fabric.Graph.Links.Length);
        }

        mine.Clear();
        return mine;
    }

    public void Add(int link, double more)
    {
        if (!isTouched[link])
        {
            isTouched[link] = true;
            touched.Add(link);
        }

        amount[link] += more;
    }

    public void Clear()
    {
        foreach (var link in touched)
        {
            amount[link] = 0;
            isTouched[link] = false;
        }

        touched.Clear();
    }
}
