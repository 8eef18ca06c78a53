using System.Text.Json.Serialization;

namespace MLNet.SDN.Contracts;

/// <summary>The one way in which all shared records become JSON: camelCase, enums by name, nulls left out. Thread-safe.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(Topology))]
[JsonSerializable(typeof(JobSpec))]
[JsonSerializable(typeof(JobView))]
[JsonSerializable(typeof(List<JobView>))]
[JsonSerializable(typeof(JobPlan))]
[JsonSerializable(typeof(PlanExplanation))]
[JsonSerializable(typeof(PlanPreview))]
[JsonSerializable(typeof(HostPolicy))]
[JsonSerializable(typeof(AgentHello))]
[JsonSerializable(typeof(HelloReply))]
[JsonSerializable(typeof(PolicyAck))]
[JsonSerializable(typeof(FlowReport))]
[JsonSerializable(typeof(ProgressReport))]
[JsonSerializable(typeof(DiscoveryReport))]
[JsonSerializable(typeof(List<DiscoveredJobView>))]
[JsonSerializable(typeof(LiveFilter))]
[JsonSerializable(typeof(LiveUpdate))]
[JsonSerializable(typeof(AgentView))]
[JsonSerializable(typeof(List<AgentView>))]
[JsonSerializable(typeof(List<MarkingFault>))]
[JsonSerializable(typeof(List<MarkingSuspect>))]
[JsonSerializable(typeof(List<LiveFlow>))]
[JsonSerializable(typeof(Scenario))]
[JsonSerializable(typeof(PlanningSettings))]
[JsonSerializable(typeof(bool))]
public sealed partial class ContractsJson : JsonSerializerContext;
