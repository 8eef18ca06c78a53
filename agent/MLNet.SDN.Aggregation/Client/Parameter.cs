using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Client;

/// <summary>A tensor that a job's parameter server owns.</summary>
/// <param name="Key">Its name; not empty.</param>
/// <param name="Shape">Elements in each dimension, the last one contiguous; each at least 1. Empty for a single number.</param>
/// <param name="Type"><see cref="ElementType.Float32"/> or <see cref="ElementType.Float64"/>.</param>
/// <param name="Length">Elements, the product of <paramref name="Shape"/>.</param>
public sealed record Parameter(string Key, IReadOnlyList<int> Shape, ElementType Type, int Length)
{
    /// <summary>Type and shape, as errors say them.</summary>
    public override string ToString() => $"{Elements.Name(Type)} x {Length}, of shape ({string.Join(", ", Shape)})";
}
