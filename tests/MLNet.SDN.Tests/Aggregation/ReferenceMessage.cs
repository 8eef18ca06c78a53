using MLNet.SDN.Aggregation;
using MLNet.SDN.Tests.Aggregation.Model;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>Whole numbers of any type, and what the reference makes of them.</summary>
internal sealed class ReferenceMessage(ElementType type, ReduceOperation operation, bool fixedOrder = false) : VirtualMessage(type, operation, fixedOrder)
{
    private readonly ElementType _type = type;
    private readonly ReduceOperation _operation = operation;

    public override byte[] Contribution(int rank, uint stream, ulong round, int elements) =>
        Reference.Encode(_type, Enumerable.Range(0, elements).Select(i => Number(rank, stream, round, i)));

    public override void Check(int world, uint stream, ulong round, ReadOnlySpan<byte> result)
    {
        var elements = result.Length / ElementBytes;
        var expected = Reference.Reduce(_type, _operation, [.. Enumerable.Range(0, world).Select(rank => Contribution(rank, stream, round, elements))]);
        var at = result.CommonPrefixLength(expected);
        Assert.True(at == expected.Length, $"{Shape(stream, elements)} over {world} workers, stream {stream}, round {round}: element {at / ElementBytes} is wrong");
    }
}
