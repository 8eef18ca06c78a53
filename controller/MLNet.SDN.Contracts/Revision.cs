namespace MLNet.SDN.Contracts;

/// <summary>Orders policies: a leader's term, then a counter within it. A lower one is refused.</summary>
/// <param name="Term">Grows with every change of leader. 0 before the first.</param>
/// <param name="Generation">Grows with every change of policy, and never falls within a term.</param>
public readonly record struct Revision(long Term, long Generation) : IComparable<Revision>
{
    /// <summary>Before any policy.</summary>
    public static Revision None => default;

    /// <inheritdoc />
    public int CompareTo(Revision other) => Term != other.Term ? Term.CompareTo(other.Term) : Generation.CompareTo(other.Generation);

    /// <summary>Whether the left revision is older.</summary>
    public static bool operator <(Revision left, Revision right) => left.CompareTo(right) < 0;

    /// <summary>Whether the left revision is newer.</summary>
    public static bool operator >(Revision left, Revision right) => left.CompareTo(right) > 0;

    /// <summary>Whether the left revision is older or the same.</summary>
    public static bool operator <=(Revision left, Revision right) => left.CompareTo(right) <= 0;

    /// <summary>Whether the left revision is newer or the same.</summary>
    public static bool operator >=(Revision left, Revision right) => left.CompareTo(right) >= 0;

    /// <inheritdoc />
    public override string ToString() => $"{Term}.{Generation}";
}
