using MLNet.SDN.Agent.Marking;

namespace MLNet.SDN.Tests.Agent.Marking;

public sealed class TextDifferenceTests
{
    [Theory]
    [InlineData("a b c", "a b c", "")]
    [InlineData("", "a b", "+ a|+ b")]
    [InlineData("a b", "", "- a|- b")]
    [InlineData("a b c d", "a x c d y", "- b|+ x|+ y")]
    [InlineData("a b", "b a", "- a|+ a")]
    public void Of_TwoTexts_TellsWhatGoesAndComes(string before, string after, string expected) =>
        Assert.Equal(expected, string.Join('|', TextDifference.Of(before.Split(' ', StringSplitOptions.RemoveEmptyEntries), after.Split(' ', StringSplitOptions.RemoveEmptyEntries))));

    [Fact]
    public void Of_AnyTexts_TurnsTheOneIntoTheOther()
    {
        var random = new Random(1);
        for (var run = 0; run < 500; run++)
        {
            string[] before = [.. Enumerable.Range(0, random.Next(12)).Select(_ => $"{random.Next(5)}")];
            string[] after = [.. Enumerable.Range(0, random.Next(12)).Select(_ => $"{random.Next(5)}")];
            var lines = TextDifference.Of(before, after);

            // What stays is the same on both sides, and in order.
            var left = before.ToList();
            lines.Where(l => l[0] == '-').ToList().ForEach(l => Assert.True(left.Remove(l[2..])));
            var right = after.ToList();
            lines.Where(l => l[0] == '+').ToList().ForEach(l => Assert.True(right.Remove(l[2..])));
            Assert.Equal(left.Order(), right.Order());
            Assert.True(before.SequenceEqual(after) == (lines.Count == 0));
        }
    }
}
