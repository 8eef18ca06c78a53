using System.Text;
using MLNet.SDN.Aggregation;
using MLNet.SDN.Aggregation.Client;

namespace MLNet.SDN.Tests.Aggregation;

/// <summary>What a server says of its parameters, as a worker in C# reads it. The wire is another process's, so nothing of it may throw.</summary>
public class ParameterLayoutTests
{
    private const string Valid = """{"staleness": 2, "deadline": null, "parameters": [{"key": "layer.weight", "shape": [37, 11], "dtype": "float32"}, {"key": "\u00e9", "shape": [], "dtype": "float64"}]}""";

    [Fact]
    public void TryParse_WhatPythonSays_HasItsParametersAndStreams()
    {
        var layout = Parse(Valid);

        Assert.Equal((2, null, 3), (layout.Staleness, layout.Deadline, layout.Width));
        Assert.Equal([("layer.weight", ElementType.Float32, 407), ("\u00e9", ElementType.Float64, 1)], layout.Parameters.Select(p => (p.Key, p.Type, p.Length)));
        Assert.Equal([37, 11], layout.Parameters[0].Shape);
        Assert.True(layout.TryGetIndex("\u00e9", out var index) && index == 1);
        Assert.False(layout.TryGetIndex("e", out _));

        // As in protocol.md: every round under way of every parameter has a stream of its own.
        uint[] underWay = [.. Enumerable.Range(0, 2).SelectMany(i => Enumerable.Range(7, 3).SelectMany(n => new[] { layout.PushStream(i, n), layout.PullStream(i, n) }))];
        Assert.Equal(Enumerable.Range(0, 12).Select(s => (uint)s), underWay.Order());
        Assert.Equal((6u + 1, 9u + 1), (layout.PushStream(1, 7), layout.PullStream(1, 7)));
        Assert.Equal(layout.PushStream(1, 7), layout.PushStream(1, 10));
    }

    [Fact]
    public void TryParse_Deadline_IsSeconds() =>
        Assert.Equal(TimeSpan.FromSeconds(0.25), Parse(Valid.Replace("2, \"deadline\": null", "0, \"deadline\": 0.25", StringComparison.Ordinal)).Deadline);

    [Theory]
    [InlineData("", "", "description is")]
    [InlineData("", "null", "description is null; it must be an object")]
    [InlineData("", "[1]", "description is [1]; it must be an object")]
    [InlineData("", "{}", "staleness is missing")]
    [InlineData("2, \"deadline\"", "-1, \"deadline\"", "staleness is -1; it must be a number of rounds from 0 to 4094")]
    [InlineData("2, \"deadline\"", "2.5, \"deadline\"", "staleness is 2.5; it must be")]
    [InlineData("2, \"deadline\"", "99999999999, \"deadline\"", "staleness is 99999999999; it must be")]
    [InlineData("2, \"deadline\"", "\"2\", \"deadline\"", "staleness is \"2\"; it must be")]
    [InlineData("2, \"deadline\"", "2, \"staleness\": 3, \"deadline\"", "description is")]
    [InlineData("\"deadline\": null, ", "", "deadline is missing")]
    [InlineData("2, \"deadline\": null", "0, \"deadline\": 0", "deadline is 0; it must be seconds above 0, at most 3600, or null")]
    [InlineData("2, \"deadline\": null", "0, \"deadline\": 1e999", "deadline is 1e999; it must be")]
    [InlineData("2, \"deadline\": null", "0, \"deadline\": NaN", "description is")]
    [InlineData("2, \"deadline\": null", "0, \"deadline\": \"1\"", "deadline is \"1\"; it must be")]
    [InlineData("2, \"deadline\": null", "2, \"deadline\": 1", "staleness is 2 and deadline 1; rounds that wait for nobody have no bound on staleness: serve with one of the two")]
    [InlineData("2, \"deadline\"", "1023, \"deadline\"", "parameters is a list of 2 with a staleness of 1023, which need 4096 streams, and a job has 4095")]
    [InlineData("\"key\": \"layer.weight\"", "\"key\": \"\"", "parameters[0].key is \"\"; it must be a name")]
    [InlineData("\"key\": \"layer.weight\"", "\"key\": null", "parameters[0].key is null; it must be a name")]
    [InlineData("\"key\": \"layer.weight\"", "\"key\": \"\\u00e9\"", "parameters[1].key is \"\\u00e9\"; it must be another than those before")]
    [InlineData("\"key\": \"layer.weight\"", "\"key\": \"\\ud800\"", "description is")]
    [InlineData("\"key\": \"layer.weight\", ", "", "parameters[0].key is missing")]
    [InlineData("\"float32\"", "\"int32\"", "parameters[0].dtype is \"int32\"; it must be float32 or float64")]
    [InlineData("\"float32\"", "7", "parameters[0].dtype is 7; it must be")]
    [InlineData("[37, 11]", "37", "parameters[0].shape is 37; it must be a list of up to 64 numbers from 1")]
    [InlineData("[37, 11]", "[37, 0]", "parameters[0].shape[1] is 0; it must be a number from 1")]
    [InlineData("[37, 11]", "[37, -1]", "parameters[0].shape[1] is -1; it must be")]
    [InlineData("[37, 11]", "[37, 1.5]", "parameters[0].shape[1] is 1.5; it must be")]
    [InlineData("[37, 11]", "[2147483647, 2147483647, 2147483647]", "parameters[0].shape is [2147483647, 2147483647, 2147483647]; a parameter of float32 has at most 536870895 elements at a worker in C#: split it")]
    [InlineData("[37, 11]", "[536870895, 2]", "parameters[0].shape is [536870895, 2]; a parameter of float32 has at most")]
    [InlineData("{\"key\": \"layer.weight\", \"shape\": [37, 11], \"dtype\": \"float32\"}", "[]", "parameters[0] is []; it must be an object")]
    public void TryParse_Hostile_NamesFieldValueAndRemedy(string part, string instead, string expected)
    {
        var said = part.Length == 0 ? instead : Valid.Replace(part, instead, StringComparison.Ordinal);
        Assert.NotEqual(Valid, said);

        Assert.False(ParameterLayout.TryParse(Encoding.UTF8.GetBytes(said), out _, out var fault));

        Assert.StartsWith(expected, fault, StringComparison.Ordinal);
        Assert.Contains(": ", fault, StringComparison.Ordinal);
    }

    [Fact]
    public void TryParse_LongValueWithLineBreaks_IsQuotedShortAndInOneLine()
    {
        var said = Valid.Replace("[37, 11]", $"{{\n\"x\": \"{new string('y', 5000)}\"}}", StringComparison.Ordinal);

        Assert.False(ParameterLayout.TryParse(Encoding.UTF8.GetBytes(said), out _, out var fault));

        Assert.InRange(fault.Length, 50, 250);
        Assert.DoesNotContain('\n', fault);
    }

    [Fact]
    public void TryParse_EveryTruncationAndAnyDamage_IsRefusedOrALayoutWithoutThrowing()
    {
        var valid = Encoding.UTF8.GetBytes(Valid);
        for (var length = 0; length < valid.Length; length++)
        {
            Assert.False(ParameterLayout.TryParse(valid.AsMemory(0, length), out _, out var fault), $"accepted {length} of {valid.Length} bytes");
            Assert.NotEmpty(fault);
        }

        var random = new Random(1);
        for (var i = 0; i < 20_000; i++)
        {
            var damaged = valid.ToArray();
            for (var n = random.Next(1, 4); n > 0; n--)
            {
                damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
            }

            if (ParameterLayout.TryParse(damaged, out var layout, out var fault))
            {
                Assert.All(layout!.Parameters, p => Assert.True(p.Key.Length > 0 && p.Length == p.Shape.Aggregate(1, (a, b) => a * b)));
            }
            else
            {
                Assert.NotEmpty(fault);
            }
        }
    }

    [Theory]
    [InlineData(0, 2, 9, "magic is 0x0; it must be 0x5350544E4C4D")]
    [InlineData(ParameterLayout.Magic, 1, 9, "version of parameter exchange is 1; this library speaks 2: use one version of mlnet")]
    [InlineData(ParameterLayout.Magic, 2, 0, "bytes of the description is 0; it must be 1 to 16777216")]
    [InlineData(ParameterLayout.Magic, 2, -1, "bytes of the description is -1")]
    [InlineData(ParameterLayout.Magic, 2, 16777217, "bytes of the description is 16777217")]
    public void TryReadHead_Hostile_NamesFieldValueAndRemedy(long magic, long version, long bytes, string expected)
    {
        Assert.False(ParameterLayout.TryReadHead([magic, version, bytes], out var read, out var fault));
        Assert.Equal(0, read);
        Assert.StartsWith(expected, fault, StringComparison.Ordinal);
    }

    [Fact]
    public void TryReadHead_OfMlnet_IsTheLength()
    {
        Assert.True(ParameterLayout.TryReadHead([0x5350544E4C4D, 2, 77], out var bytes, out _));
        Assert.Equal(77, bytes);
    }

    private static ParameterLayout Parse(string said)
    {
        Assert.True(ParameterLayout.TryParse(Encoding.UTF8.GetBytes(said), out var layout, out var fault), fault);
        return layout!;
    }
}
