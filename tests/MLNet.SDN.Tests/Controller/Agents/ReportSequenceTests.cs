using MLNet.SDN.Controller.Agents;

namespace MLNet.SDN.Tests.Controller.Agents;

public class ReportSequenceTests
{
    [Fact]
    public void Note_AnyOrder_AgreesWithASetOfAllNumbersWithinTheWindow()
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var sequence = new ReportSequence();
            HashSet<long> seen = [];
            long highest = -1;
            long at = random.Next(1_000_000);
            for (var i = 0; i < 3_000; i++)
            {
                at = Math.Max(0, at + random.Next(10) switch { < 6 => 1, 6 => 0, 7 => -random.Next(20), 8 => random.Next(40), _ => random.Next(100) == 0 ? random.Next(3_000) - 1_500 : 1 });
                var expected =
                    highest < 0 ? SequenceStatus.Next :
                    at > highest ? at == highest + 1 ? SequenceStatus.Next : SequenceStatus.AfterGap :
                    at <= highest - 1_024 || seen.Contains(at) ? SequenceStatus.Repeated : SequenceStatus.Late;

                Assert.True(expected == sequence.Note(at), $"seed {seed}, step {i}: {at} after {highest}");
                seen.Add(at);
                highest = Math.Max(highest, at);
            }
        }
    }
}
