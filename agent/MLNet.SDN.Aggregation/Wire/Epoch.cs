using System.Text.Json.Serialization;

namespace MLNet.SDN.Aggregation.Wire;

/// <summary>
/// One try at a round: the revision of its trees, then the attempt. Attempt 0 follows the trees; in any later one every member sends straight to
/// the successor that the attempt names. Only partial sums of the same epoch merge, and members answer only the highest epoch seen.
/// </summary>
internal readonly record struct Epoch(TreesRevision Trees, uint Attempt) : IComparable<Epoch>
{
    /// <summary>Attempts are counted from 0 and never come near this.</summary>
    public const uint MaxAttempt = 1u << 30;

    /// <summary>Not known, or not decided.</summary>
    [JsonIgnore]
    public bool IsNone => Trees == default;

    [JsonIgnore]
    public bool IsWellFormed => Attempt <= MaxAttempt;

    public int CompareTo(Epoch other)
    {
        var byTrees = Trees.CompareTo(other.Trees);
        return byTrees != 0 ? byTrees : Attempt.CompareTo(other.Attempt);
    }

    public static bool operator <(Epoch left, Epoch right) => left.CompareTo(right) < 0;

    public static bool operator >(Epoch left, Epoch right) => left.CompareTo(right) > 0;

    public static bool operator <=(Epoch left, Epoch right) => left.CompareTo(right) <= 0;

    public static bool operator >=(Epoch left, Epoch right) => left.CompareTo(right) >= 0;

    public static Epoch Max(Epoch a, Epoch b) => a < b ? b : a;
}
