using MLNet.SDN.Planning.Simulation.Traces;
using MLNet.SDN.Planning.Topology;

namespace MLNet.SDN.Tests.Planning.Simulation;

public class TraceTests
{
    private const string Header = "job_id,num_gpu,submit_time,iterations,model_name,batch_size,duration,interval,iteration_time,resource_time_0,resource_time_1,resource_time_2,priority";

    [Fact]
    public void TryRead_MurisColumns_GivesTheJobs()
    {
        var jobs = TraceCsv.TryRead($"{Header}\r\n3,8,724670000,20901556,vgg16,16,4472933000,197456000,214,82,75,66,0\r\n7,1,5,10,shufflenet_v2_x1_0,128,1,1,49,1,1,0.5,1\r\n", out var faults)!;

        Assert.Empty(faults);
        Assert.Equal(new TraceJob(2, "3-vgg16", "vgg16", 553e6, 8, 724_670, 20_901_556, 0.214, 0.066), jobs[0]);
        Assert.Equal((3, 9e6, 0.049, 0.0005), (jobs[1].Line, jobs[1].Bytes, jobs[1].RoundSeconds, jobs[1].NetworkSeconds));
    }

    [Theory]
    [InlineData("job_id,num_gpu\n1,2", "line 1", "submit_time, iterations, model_name, iteration_time, resource_time_2 are missing")]
    [InlineData("", "line 1", "missing")]
    [InlineData(Header, "line 2", "no job")]
    [InlineData(Header + "\n\n1,1,0,1,bert,4,1,1,178,0,0,0,1\n2,8,-5,1,bert,4,1,1,192,0,167,59,1", "line 4", "submit_time must be a time of 0 ms or more")]
    [InlineData(Header + "\n1,0,0,1,bert,4,1,1,178,0,0,0,1", "line 2", "num_gpu must be a whole number of 1 or more")]
    [InlineData(Header + "\n1,1,0,1.5,bert,4,1,1,178,0,0,0,1", "line 2", "iterations must be a whole number")]
    [InlineData(Header + "\n1,1,0,1,nobody,4,1,1,178,0,0,0,1", "line 2", "No size is known of this model")]
    [InlineData(Header + "\n1,1,0,1,bert,4,1,1,NaN,0,0,0,1", "line 2", "iteration_time must be a time")]
    [InlineData(Header + "\n1,2,0,1,bert,4,1,1,59,0,0,59,1\n2,2,0,1,bert,4,1,1,59,0,0,59.5,1", "line 3", "longer than the round, iteration_time 59")]
    [InlineData(Header + "\n1,1,0,1,bert", "line 2", "5 cells and the first line 13")]
    public void TryRead_FaultyTrace_SaysWhichLine(string text, string line, string message)
    {
        Assert.Null(TraceCsv.TryRead(text, out var faults));

        var fault = Assert.Single(faults);
        Assert.Equal(line, fault.Field);
        Assert.Contains(message, fault.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("VGG16", 553e6)]
    [InlineData("bert-large", 1.36e9)]
    [InlineData("BERT", 440e6)]
    [InlineData("shufflenet_v2_x1_0", 9e6)]
    [InlineData("resnet50", 102e6)]
    [InlineData("resnet-50-v1.5", 0)] // 50 and 501 are different models
    public void TryFind_Model_IsKnownBySpelling(string name, double bytes)
    {
        Assert.Equal(bytes > 0 || name == "resnet-50-v1.5", ModelSizes.TryFind(name, out var found));
        Assert.Equal(bytes > 0 ? bytes : 102e6, found);
    }

    [Fact]
    public void TryFind_OtherNumber_IsAnotherModel()
    {
        Assert.False(ModelSizes.TryFind("resnet501", out _));
        Assert.False(ModelSizes.TryFind("vgg1", out _));
    }

    /// <summary>Two racks of four hosts: jobs wait until enough of them are free, and go where they leave the fewest free hosts scattered.</summary>
    [Fact]
    public void Of_FullFabric_JobsStartInOrderWhenHostsAreFree()
    {
        TraceJob[] trace =
        [
            Job("late", 8, 40, 1, 1),
            Job("a", 3, 0, 10, 1),
            Job("b", 2, 1, 10, 1),
            Job("c", 6, 2, 5, 1), // waits for a, which ends at 10 and leaves six hosts free
            Job("d", 1, 3, 5, 1), // there is room at once, but c comes first and takes all; b ends at 11
        ];

        var @case = TraceCase.Of("t", trace, Fabric(), 1_000_000, out var factor, out var faults)!;

        Assert.Empty(faults);
        Assert.Equal(1, factor);
        Assert.Equal(["a", "b", "c", "d", "late"], @case.Jobs.Select(j => j.Name));
        Assert.Equal([0, 1, 10, 11, 40], @case.Jobs.Select(j => j.ArrivalSeconds));
        Assert.Equal([3, 2, 6, 1, 8], @case.Jobs.Select(j => j.Workers.Count));
        Assert.Equal(["h0000", "h0001", "h0002"], @case.Jobs[0].Workers);
        Assert.Equal(["h0004", "h0005"], @case.Jobs[1].Workers); // one host is free beside a: too few
        Assert.Equal(["h0000", "h0001", "h0002", "h0003", "h0006", "h0007"], @case.Jobs[2].Workers);
    }

    [Fact]
    public void Of_LongTrace_IsShortenedByOneFactor()
    {
        TraceJob[] trace = [Job("a", 2, 0, 3_000_000, 1), Job("b", 2, 50_000, 1_000_000, 1), Job("single", 1, 80_000, 2_000_000, 0.5), Job("short", 3, 90_000, 7, 1)];

        var @case = TraceCase.Of("t", trace, Fabric(), 400, out var factor, out _)!;

        Assert.Equal(10_000, factor, 0.1);
        Assert.Equal([300, 100, 200, 1], @case.Jobs.Select(j => j.Rounds));
        Assert.Equal([0, 5, 8, 9], @case.Jobs.Select(j => j.ArrivalSeconds), (x, y) => Math.Abs(x - y) < 1e-3);
        Assert.All(@case.Jobs, j => Assert.Equal(j.Name == "single" ? 0.4 : 0.9, j.ComputeSeconds, 9));
    }

    [Fact]
    public void Of_JobLargerThanTheFabric_IsNamedWithItsLine()
    {
        Assert.Null(TraceCase.Of("t", [Job("a", 9, 0, 1, 1) with { Line = 17 }], Fabric(), 1, out _, out var faults));

        Assert.Equal(("line 17", "9"), (Assert.Single(faults).Field, faults[0].Value));
    }

    private static Fabric Fabric() => Fabrics.Of(LogicalTree.Build(new()
    {
        Racks = 2, HostsPerRack = 4, Pods = 1, RacksPerPod = 2, HostBytesPerSecond = 1e9, RackUplinkBytesPerSecond = 1e9, PodUplinkBytesPerSecond = 1e9,
    }));

    private static TraceJob Job(string name, int workers, double submit, long rounds, double roundSeconds) => new(1, name, "m", 1e6, workers, submit, rounds, roundSeconds, 0.1);
}
