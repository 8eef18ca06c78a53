using System.Numerics;

namespace MLNet.SDN.Planning.Simulation.Workloads;

/// <summary>Random numbers that are equal for equal seeds on every machine and in every version: xoshiro256**, seeded by splitmix64.</summary>
/// <remarks>
/// D. Blackman and S. Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 2021. <see cref="Random"/> promises no sequence across versions,
/// and logarithms of the C library differ in their last bit between platforms, so both are made here from operations that IEEE 754 fixes. Not thread-safe.
/// </remarks>
internal sealed class SeededRandom
{
    private ulong s0;
    private ulong s1;
    private ulong s2;
    private ulong s3;

    public SeededRandom(long seed)
    {
        var state = unchecked((ulong)seed);
        (s0, s1, s2, s3) = (SplitMix(ref state), SplitMix(ref state), SplitMix(ref state), SplitMix(ref state));
    }

    /// <summary>The next 64 bits.</summary>
    public ulong NextBits()
    {
        var result = BitOperations.RotateLeft(s1 * 5, 7) * 9;
        var t = s1 << 17;
        s2 ^= s0;
        s3 ^= s1;
        s1 ^= s2;
        s0 ^= s3;
        s2 ^= t;
        s3 = BitOperations.RotateLeft(s3, 45);
        return result;
    }

    /// <summary>Uniform in [0, 1), a multiple of 2^-53.</summary>
    public double NextUnit() => (NextBits() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Uniform in 0..<paramref name="count"/>-1, without bias: what is above the last whole multiple is drawn again.</summary>
    public int NextBelow(int count)
    {
        var bound = (ulong)count;
        var last = ulong.MaxValue - (ulong.MaxValue % bound);
        ulong bits;
        do
        {
            bits = NextBits();
        }
        while (bits >= last);

        return (int)(bits % bound);
    }

    /// <summary>Standard normal, by the polar method of Marsaglia; the second of its pair is not kept.</summary>
    public double NextNormal()
    {
        while (true)
        {
            var (x, y) = ((2 * NextUnit()) - 1, (2 * NextUnit()) - 1);
            var square = (x * x) + (y * y);
            if (square is > 0 and < 1)
            {
                return x * Math.Sqrt(-2 * Log(square) / square);
            }
        }
    }

    /// <summary>Exponential with mean 1.</summary>
    public double NextExponential() => -Log(1 - NextUnit());

    /// <summary>An entry, by weight.</summary>
    public int NextWeighted(ReadOnlySpan<double> weights)
    {
        var total = 0.0;
        foreach (var weight in weights)
        {
            total += weight;
        }

        var at = NextUnit() * total;
        for (var i = 0; i < weights.Length - 1; i++)
        {
            at -= weights[i];
            if (at < 0)
            {
                return i;
            }
        }

        return weights.Length - 1;
    }

    /// <summary>Brings <paramref name="count"/> entries, drawn evenly without repetition, to the front, in the order drawn (Fisher and Yates).</summary>
    public void Draw<T>(Span<T> from, int count)
    {
        for (var i = 0; i < count; i++)
        {
            var other = i + NextBelow(from.Length - i);
            (from[i], from[other]) = (from[other], from[i]);
        }
    }

    /// <summary>Natural logarithm of a positive, normal number, to about 1e-15.</summary>
    internal static double Log(double x)
    {
        // x = m 2^e with m in [√½, √2); ln m = 2 atanh((m-1)/(m+1)), whose series in z² ≤ 0.0295 needs eleven terms.
        var exponent = Math.ILogB(x);
        var m = Math.ScaleB(x, -exponent);
        if (m > Math.Sqrt(2))
        {
            m /= 2;
            exponent++;
        }

        var z = (m - 1) / (m + 1);
        var square = z * z;
        var sum = 0.0;
        for (var k = 21; k >= 1; k -= 2)
        {
            sum = (sum * square) + (1.0 / k);
        }

        return (exponent * Ln2) + (2 * z * sum);
    }

    /// <summary>Exponential of a number in [-700, 700], to about 1e-15 of it.</summary>
    internal static double Exp(double x)
    {
        var whole = Math.Round(x / Ln2);
        var rest = x - (whole * Ln2);
        var sum = 1.0;
        for (var k = 18; k >= 1; k--)
        {
            sum = 1 + (sum * rest / k);
        }

        return Math.ScaleB(sum, (int)whole);
    }

    private const double Ln2 = 0.69314718055994531;

    private static ulong SplitMix(ref ulong state)
    {
        var z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
