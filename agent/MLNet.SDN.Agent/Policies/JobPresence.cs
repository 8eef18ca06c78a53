using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Policies;

/// <summary>Finds the jobs whose processes on this host are gone, so that their marks do not pass to a stranger who is given the same ports. Not thread-safe.</summary>
/// <remarks>
/// A job is known by the sockets that its selectors fit, and their users: the job's owner where the policy names one, else the users first seen. When two
/// looks in a row find none, after one that did, it is gone; it stays so until a policy brings the job with new trees, since nobody here can tell a
/// worker that was started again from a stranger of the same user. A job that never had a socket here (its packets are forwarded, or it has not
/// begun) is left alone. Selectors that name a control group are not asked: nobody comes into that by chance.
/// A discovered job is known by its processes instead: it is gone when two looks in a row were told of none, and back when they are.
/// </remarks>
internal sealed class JobPresence
{
    private readonly Dictionary<long, State> states = [];

    /// <summary>Looks once.</summary>
    /// <param name="policy">The policy in force, with all its selectors.</param>
    /// <param name="sockets">Sockets of this host.</param>
    /// <param name="discovered">Keys of jobs that are discovered here now; null for none.</param>
    /// <returns>Jobs that are gone.</returns>
    public IReadOnlySet<long> Look(InstalledPolicy policy, IReadOnlyCollection<LocalSocket> sockets, IReadOnlySet<string>? discovered = null)
    {
        var jobs = policy.Policy?.Jobs.Where(j => j.Selectors.Count > 0).ToDictionary(j => j.JobId) ?? [];
        foreach (var id in states.Keys.Except(jobs.Keys).ToList())
        {
            states.Remove(id);
        }

        foreach (var (id, job) in jobs)
        {
            if (!states.TryGetValue(id, out var state) || state.Trees != job.TreesRevision)
            {
                states[id] = state = new State(job.TreesRevision);
            }

            if (job.DiscoveryKey is { } key)
            {
                state.Absent = discovered?.Contains(key) == true ? 0 : state.Absent + 1;
                state.IsGone = state.Absent >= 2;
                continue;
            }

            var owned = sockets.Where(s => job.OwnerUid is { } owner ? s.Uid == owner : state.Users.Count == 0 || state.Users.Contains(s.Uid));
            var selectors = policy.Selectors.Where(s => s.JobId == id && s.Cgroup is null).ToList();
            var users = owned.Where(s => selectors.Exists(selector => Fits(selector, s))).Select(s => s.Uid).ToHashSet();
            state.Users.UnionWith(state.Users.Count == 0 ? users : []);
            state.Absent = users.Count > 0 ? 0 : state.Absent + 1;
            state.IsGone |= state.Users.Count > 0 && state.Absent >= 2;
        }

        return states.Where(s => s.Value.IsGone).Select(s => s.Key).ToHashSet();
    }

    // The selectors come in both directions, so it is enough to ask whether the socket's own packets are selected.
    private static bool Fits(SelectorMatch selector, in LocalSocket socket)
    {
        if (selector.Uid is { } uid && uid != socket.Uid)
        {
            return false;
        }

        if (socket.RemotePort != 0)
        {
            return selector.Matches(new FlowKey(socket.Local, socket.Remote, socket.LocalPort, socket.RemotePort, socket.Protocol, 0, FlowDirection.Egress, socket.IsIPv6));
        }

        // Of a socket that waits for others only its own side is known. A selector that says nothing of it fits every such socket, which tells nothing.
        return selector.SourcePorts is { } ports && ports.Contains(socket.LocalPort)
            && (selector.Protocol is null || selector.Protocol == socket.Protocol)
            && (socket.Local == 0 || selector.Source is not { } source || source.Contains(socket.Local, socket.IsIPv6));
    }

    private sealed class State(Revision trees)
    {
        public Revision Trees => trees;

        public HashSet<uint> Users { get; } = [];

        public int Absent { get; set; }

        public bool IsGone { get; set; }
    }
}
