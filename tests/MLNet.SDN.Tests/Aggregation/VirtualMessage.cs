using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>What virtual workers reduce, and what must come back.</summary>
internal class VirtualMessage(ElementType type, ReduceOperation operation, bool fixedOrder = false)
{
    /// <summary>Whole numbers in binary32, added.</summary>
    public static VirtualMessage Numbers { get; } = new(ElementType.Float32, ReduceOperation.Sum);

    public int ElementBytes => Elements.Bytes(type);

    public MessageShape Shape(int elements) => new((long)elements * ElementBytes, type, operation, fixedOrder);

    /// <summary>The contribution of a rank.</summary>
    public virtual byte[] Contribution(int rank, uint stream, ulong round, int elements) =>
        Reference.Encode(type, Enumerable.Range(0, elements).Select(i => ((i * 7) + (rank * 13) + ((int)round * 29) + ((int)stream * 31)) % 1009));

    /// <summary>Whether the result is right; throws when it is not.</summary>
    public virtual void Check(int world, uint stream, ulong round, ReadOnlySpan<byte> result)
    {
        var elements = result.Length / ElementBytes;
        var expected = Reference.Reduce(type, operation, [.. Enumerable.Range(0, world).Select(rank => Contribution(rank, stream, round, elements))]);
        var at = result.CommonPrefixLength(expected);
        Assert.True(at == expected.Length, $"{Shape(elements)} over {world} workers, stream {stream}, round {round}: element {at / ElementBytes} is wrong");
    }
}
