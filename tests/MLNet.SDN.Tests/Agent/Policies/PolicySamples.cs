using MLNet.SDN.Contracts;

namespace MLNet.SDN.Tests.Agent.Policies;

/// <summary>Policies that are good, to be varied with <c>with</c>.</summary>
internal static class PolicySamples
{
    public const string Host = "h0-0-0";

    public static string Secret { get; } = Convert.ToBase64String(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray());

    public static HostJob Job(long id = 1, string name = "resnet", int level = 1, int dscp = 34, params FlowSelector[] selectors) => new()
    {
        JobId = id,
        Name = name,
        Secret = Secret,
        Level = level,
        Dscp = new Dscp(dscp),
        TreesRevision = new Revision(1, 1),
        Members = [new JobMember(0, "h0-0-0"), new JobMember(1, "h0-0-1")],
        Endpoints = [new HostEndpoint("h0-0-0", "10.0.0.2", 7471, "e0-0"), new HostEndpoint("h0-0-1", "10.0.0.6", 7471, "e0-0")],
        Shards = [new ShardTree { Weight = 1, Roots = ["h0-0-0"], Edges = [new TreeEdge("h0-0-1", "h0-0-0")] }],
        ChunkBytes = 65_536,
        WindowChunks = 8,
        Stripes = 2,
        Selectors = selectors,
    };

    public static HostPolicy Policy(long generation = 1, params HostJob[] jobs) => new()
    {
        Host = Host,
        Revision = new Revision(1, generation),
        Ladder = PriorityLadder.Standard,
        Jobs = jobs,
    };
}
