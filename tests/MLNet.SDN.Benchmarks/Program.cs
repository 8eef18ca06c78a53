using MLNet.SDN.Benchmarks;

// mlnet-bench NAME --state DIRECTORY [OPTIONS]: tables and progress go to standard error, the last line of standard output is a JSON object.
var benches = new SortedDictionary<string, Func<string, string[], int>>(StringComparer.Ordinal)
{
    ["capture"] = CaptureCost.Run,
    ["idle"] = IdleCost.Run,
    ["mark"] = MarkCost.Run,
    ["chaos"] = Chaos.Run,
    ["plan-quality"] = PlanQuality.Run,
    ["plan-speed"] = PlanSpeed.Run,
    ["reduce"] = ReduceThroughput.Run,
    ["trees-lp"] = TreesAgainstProgram.Run,
};

// Not benchmarks: the parts of some that run in a network namespace of its own.
if (args is ["send-frames", .. var sending])
{
    return FrameSender.Run(sending);
}

if (args is ["stream", .. var stream])
{
    return MarkCost.Stream(stream);
}

if (args is ["send-datagrams", .. var datagrams])
{
    return MarkCost.Send(datagrams);
}

if (args is not [var name, "--state", var state, ..] || !benches.TryGetValue(name, out var bench))
{
    Console.Error.WriteLine($"Usage: mlnet-bench NAME --state DIRECTORY [OPTIONS]; benchmarks: {string.Join(", ", benches.Keys)}.");
    return 2;
}

return bench(state, args[3..]);
