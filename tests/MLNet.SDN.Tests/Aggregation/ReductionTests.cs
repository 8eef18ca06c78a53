using System.Runtime.InteropServices;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Rounds;
using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Tests.Aggregation;

public class ReductionTests
{
    [Fact]
    public void Reduce_EveryTypeAndOperationAroundTheSlices_IsThatOfTheReference()
    {
        foreach (var (type, operation) in Reference.All)
        {
            foreach (var n in new[] { 1, 7, 33, 2047, 2048, 2049, 8193, 16_385 })
            {
                byte[][] contributions = [.. Enumerable.Range(0, 3).Select(rank => Reference.Encode(type, Enumerable.Range(0, n).Select(i => ((i * 37) + (rank * 991)) % 2003)))];

                var result = Reduce(type, operation, contributions);

                Assert.True(result.AsSpan().SequenceEqual(Reference.Reduce(type, operation, contributions)), $"{type} {operation} of {n}");
            }
        }
    }

    [Theory]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.BFloat16)]
    public void Widen_EverySixteenBitNumber_IsExactAndComesBack(ElementType type)
    {
        var all = Reference.Bytes(Enumerable.Range(0, 65_536).Select(i => (ushort)i));
        var buffer = new byte[all.Length * 2];
        all.CopyTo(buffer, 0);

        Reduction.Widen(buffer, type);

        var (wide, expected) = (Reference.Of<float>(buffer), Reference.Of<float>(Reference.Widen(type, all)));
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.True(float.IsNaN(expected[i]) ? float.IsNaN(wide[i]) : BitConverter.SingleToInt32Bits(expected[i]) == BitConverter.SingleToInt32Bits(wide[i]), $"{i:X4}");
        }

        // A sum with nothing added is rounded to what it was.
        Reduction.Finish(buffer, type, ReduceOperation.Sum, 2);
        var back = Reference.Of<ushort>(buffer.AsSpan(0, all.Length));
        for (var i = 0; i < back.Length; i++)
        {
            Assert.True(float.IsNaN(expected[i]) ? IsNaN(type, back[i]) : back[i] == i, $"{i:X4} became {back[i]:X4}");
        }
    }

    [Theory]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.BFloat16)]
    public void Finish_WideSums_AreRoundedToTheNearestTiesToEven(ElementType type)
    {
        var random = new Random(5);
        var sums = new float[100_003];
        for (var i = 0; i < sums.Length; i++)
        {
            // Every exponent, halfway cases among them.
            sums[i] = BitConverter.Int32BitsToSingle(i % 3 == 0 ? random.Next(int.MinValue, int.MaxValue) & ~0x7FFF : random.Next(int.MinValue, int.MaxValue));
            sums[i] = type == ElementType.Float16 && i % 2 == 0 ? (float)((random.NextDouble() - 0.5) * Math.Pow(2, random.Next(-26, 18))) : sums[i];
        }

        var buffer = Reference.Bytes(sums);
        Reduction.Finish(buffer, type, ReduceOperation.Sum, 2);

        var (rounded, expected) = (Reference.Of<ushort>(buffer), Reference.Of<ushort>(Reference.Narrow(type, Reference.Bytes(sums))));
        for (var i = 0; i < sums.Length; i++)
        {
            Assert.True(float.IsNaN(sums[i]) ? IsNaN(type, rounded[i]) : rounded[i] == expected[i], $"{sums[i]:R}: {rounded[i]:X4}, not {expected[i]:X4}");
        }
    }

    [Fact]
    public void Mean_OfSixteenBitNumbersWhoseSumOverflows_IsRightAllTheSame()
    {
        byte[][] contributions = [.. Enumerable.Range(0, 4).Select(_ => Reference.Bytes(Enumerable.Repeat((Half)60_000, 5)))];

        Assert.All(Reference.Of<Half>(Reduce(ElementType.Float16, ReduceOperation.Mean, contributions)), v => Assert.Equal((Half)60_000, v));
        Assert.All(Reference.Of<Half>(Reduce(ElementType.Float16, ReduceOperation.Sum, contributions)), v => Assert.Equal(Half.PositiveInfinity, v));
    }

    [Fact]
    public void Sum_OfSixteenBitNumbers_StaysWithinTheBoundOfTheProtocol()
    {
        var random = new Random(11);
        foreach (var (type, unit) in new[] { (ElementType.Float16, Math.Pow(2, -11)), (ElementType.BFloat16, Math.Pow(2, -8)) })
        {
            const int World = 50;
            var numbers = Enumerable.Range(0, World).Select(_ => Enumerable.Range(0, 999).Select(_ => (float)((random.NextDouble() - 0.5) * 100)).ToArray()).ToArray();
            byte[][] contributions = [.. numbers.Select(v => Reference.Narrow(type, Reference.Bytes(v)))];

            var result = Reference.Of<float>(Reference.Widen(type, Reduce(type, ReduceOperation.Sum, contributions)));

            var exact = contributions.Select(c => Reference.Of<float>(Reference.Widen(type, c))).ToArray();
            for (var i = 0; i < result.Length; i++)
            {
                var (sum, magnitudes) = (exact.Sum(c => (double)c[i]), exact.Sum(c => Math.Abs((double)c[i])));
                var adding = (World - 1) * Math.Pow(2, -24) * magnitudes;
                Assert.True(Math.Abs(result[i] - sum) <= (unit * (Math.Abs(sum) + adding)) + adding, $"{type}: {result[i]} instead of {sum}");
            }
        }
    }

    [Fact]
    public void IntegerMean_IsCutTowardsZeroAndSumsWrapAround()
    {
        byte[][] ints = [Reference.Bytes([int.MaxValue, -7, 7]), Reference.Bytes([1, 0, 0])];
        byte[][] longs = [Reference.Bytes([long.MaxValue, -7L, 7L]), Reference.Bytes([1L, 0L, 0L])];

        Assert.Equal([int.MinValue, -7, 7], Reference.Of<int>(Reduce(ElementType.Int32, ReduceOperation.Sum, ints)));
        Assert.Equal([int.MinValue / 2, -3, 3], Reference.Of<int>(Reduce(ElementType.Int32, ReduceOperation.Mean, ints)));
        Assert.Equal([long.MinValue / 2, -3, 3], Reference.Of<long>(Reduce(ElementType.Int64, ReduceOperation.Mean, longs)));
    }

    [Theory]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.Float64)]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.BFloat16)]
    public void MinAndMax_NaNSpreadsAndMinusZeroIsBelowZero(ElementType type)
    {
        double[] left = [double.NaN, 1, -0.0, 0.0, double.NegativeInfinity, double.NaN];
        double[] right = [1, double.NaN, 0.0, -0.0, double.PositiveInfinity, double.NaN];

        var min = Numbers(type, Reduce(type, ReduceOperation.Min, [Of(type, left), Of(type, right)]));
        var max = Numbers(type, Reduce(type, ReduceOperation.Max, [Of(type, left), Of(type, right)]));

        // Equal takes -0 for 0: their signs are looked at.
        Assert.Equal([double.NaN, double.NaN, -0.0, -0.0, double.NegativeInfinity, double.NaN], min);
        Assert.Equal([double.NaN, double.NaN, 0.0, 0.0, double.PositiveInfinity, double.NaN], max);
        Assert.True(double.IsNegative(min[2]) && double.IsNegative(min[3]) && double.IsPositive(max[2]) && double.IsPositive(max[3]));
    }

    [Fact]
    public void Arithmetic_EveryTypeAndOperation_AllocatesNothing()
    {
        foreach (var (type, operation) in Reference.All)
        {
            byte[][] contributions = [.. Enumerable.Range(0, 2).Select(rank => Reference.Encode(type, Enumerable.Range(rank, 5000)))];
            var buffer = new byte[5000 * Elements.SummedBytes(type)];
            Once();
            var before = GC.GetAllocatedBytesForCurrentThread();
            Once();
            Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

            void Once()
            {
                contributions[0].CopyTo(buffer, 0);
                ReduceInto(buffer, type, operation, contributions);
            }
        }
    }

    private static byte[] Reduce(ElementType type, ReduceOperation operation, byte[][] contributions)
    {
        var buffer = new byte[contributions[0].Length / Elements.Bytes(type) * Elements.SummedBytes(type)];
        contributions[0].CopyTo(buffer, 0);
        ReduceInto(buffer, type, operation, contributions);
        return buffer[..contributions[0].Length];
    }

    private static void ReduceInto(Span<byte> buffer, ElementType type, ReduceOperation operation, byte[][] contributions)
    {
        var wide = Elements.SumsWide(type, operation);
        if (wide)
        {
            Reduction.Widen(buffer, type);
        }
        else
        {
            buffer = buffer[..contributions[0].Length];
        }

        for (var i = 1; i < contributions.Length; i++)
        {
            if (wide)
            {
                Reduction.AccumulateNarrow(buffer, contributions[i], type);
            }
            else
            {
                Reduction.Accumulate(buffer, contributions[i], type, operation);
            }
        }

        Reduction.Finish(buffer, type, operation, contributions.Length);
    }

    private static bool IsNaN(ElementType type, ushort bits) =>
        type == ElementType.Float16 ? Half.IsNaN(BitConverter.UInt16BitsToHalf(bits)) : float.IsNaN(BitConverter.UInt32BitsToSingle((uint)bits << 16));

    private static byte[] Of(ElementType type, double[] numbers) => type switch
    {
        ElementType.Float64 => Reference.Bytes(numbers),
        ElementType.Float32 => Reference.Bytes(numbers.Select(v => (float)v)),
        _ => Reference.Narrow(type, Reference.Bytes(numbers.Select(v => (float)v))),
    };

    private static double[] Numbers(ElementType type, byte[] bytes) => type switch
    {
        ElementType.Float64 => Reference.Of<double>(bytes),
        ElementType.Float32 => [.. Reference.Of<float>(bytes).Select(v => (double)v)],
        _ => [.. Reference.Of<float>(Reference.Widen(type, bytes)).Select(v => (double)v)],
    };
}
