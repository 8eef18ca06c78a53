namespace MLNet.SDN.Agent.Policies;

/// <summary>Whose socket it is.</summary>
/// <param name="Uid">Its user.</param>
/// <param name="Cgroup">Path of the control group in which it was opened, as <see cref="SelectorMatch.Cgroup"/>; null when that is none that a selector names.</param>
internal readonly record struct SocketOwner(uint Uid, string? Cgroup);
