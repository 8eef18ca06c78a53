using MLNet.SDN.Contracts;

namespace MLNet.SDN.Planning.Jobs;

/// <summary>Checks a submitted job against the fabric and the other unfinished jobs; reports every fault.</summary>
public static class JobRules
{
    public static IReadOnlyList<FieldFault> Check(JobSpec spec, Topology.Fabric fabric, IReadOnlyList<JobSpec> unfinished) => throw new NotImplementedException();
}
