using MLNet.SDN.Aggregation.Rounds;

namespace MLNet.SDN.Tests.Aggregation;

public class StreamStateTests
{
    [Theory]
    [InlineData("6-6", "0-3, 6")] // a worker that contributed to 5 had the result of 4, which others may still be waiting for
    [InlineData("0-6", "0-6")] // everything is given up
    [InlineData("4-4 6-6", "0-4, 6")] // 5 may be finished, 4 was given up before
    [InlineData("4-4 4-6", "0-1, 4-6")]
    [InlineData("6-6 5-6", "0-3, 5-6")]
    [InlineData("6-6 4-6", "0-2, 4-6")]
    [InlineData("1-1", "1")]
    public void IsFailed_AfterFailures_SparesWhatCanStillBeFinished(string failures, string failed)
    {
        var stream = new StreamState(0);
        foreach (var failure in failures.Split(' '))
        {
            stream.Fail(failure[0] - '0', failure[2] - '0', FailureCode.WorkerGone, "", failure[0] - '0' - 2);
        }

        Assert.Equal(failed, Text(Enumerable.Range(0, 9).Where(r => stream.IsFailed((ulong)r))));
    }

    private static string Text(IEnumerable<int> rounds) => string.Join(", ", rounds.Aggregate(new List<(int From, int To)>(), (runs, round) =>
    {
        if (runs.Count > 0 && runs[^1].To == round - 1)
        {
            runs[^1] = (runs[^1].From, round);
        }
        else
        {
            runs.Add((round, round));
        }

        return runs;
    }).Select(run => run.From == run.To ? $"{run.From}" : $"{run.From}-{run.To}"));
}
