using MLNet.SDN.Agent.Capture;
using MLNet.SDN.Contracts;

namespace MLNet.SDN.Agent.Policies;

/// <summary>Finds the jobs whose processes on this host are gone, so that their marks do not pass to a stranger who is given the same ports. Not thread-safe.</summary>
/// <remarks>
/// A job is known by the sockets that its selectors fit, and their users: the job's owner where the policy names one, else the users first seen. When two
/// looks in a row find none, after one that did, it is gone; it stays so until a policy brings the job with new trees, since nobody here can tell a
/// worker that was started again from a stranger of the same user. A job that never had a socket here (its packets are forwarded, or it has not
/// begun) is left alone. Selectors that name a control group are not asked: nobody comes into that by chance.
/// A discovered job is known by its processes instead, with their user: it is gone when two looks in a row were told of none, and back when they are.
/// What was seen outlives the agent (<see cref="Seen"/>, <see cref="Restore"/>): marks that were withdrawn do not come back with it, and a job that ended while it was down is missed.
/// </remarks>
internal sealed class JobPresence
{
    private const int LooksToGo = 2;

    private readonly Dictionary<long, State> states = [];

    /// <summary>Looks once.</summary>
    /// <param name="policy">The policy in force, with all its selectors.</param>
    /// <param name="sockets">Sockets of this host; null where nobody looked at them, which says nothing of any job.</param>
    /// <param name="discovered">Keys and users of jobs that are discovered here now; null for none.</param>
    /// <returns>Jobs that are gone.</returns>
    public IReadOnlySet<long> Look(InstalledPolicy policy, IReadOnlyCollection<LocalSocket>? sockets, IReadOnlySet<(string Key, int Uid)>? discovered = null)
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
                var isThere = discovered is not null && (job.OwnerUid is { } user ? discovered.Contains((key, user)) : discovered.Any(d => d.Key == key));
                state.Absent = isThere ? 0 : state.Absent + 1;
                state.IsGone = state.Absent >= LooksToGo;
                continue;
            }

            if (sockets is null)
            {
                continue;
            }

            var owned = sockets.Where(s => job.OwnerUid is { } owner ? s.Uid == owner : state.Users.Count == 0 || state.Users.Contains(s.Uid));
            var selectors = policy.Selectors.Where(s => s.JobId == id && s.Cgroup is null).ToList();
            var users = owned.Where(s => selectors.Exists(selector => Fits(selector, s))).Select(s => s.Uid).ToHashSet();
            state.Users.UnionWith(state.Users.Count == 0 ? users : []);
            state.Absent = users.Count > 0 ? 0 : state.Absent + 1;
            state.IsGone |= state.Users.Count > 0 && state.Absent >= LooksToGo;
        }

        return states.Where(s => s.Value.IsGone).Select(s => s.Key).ToHashSet();
    }

    /// <summary>Jobs that were gone at the last look, of those that a policy brings with the same trees.</summary>
    public IReadOnlySet<long> GoneOf(HostPolicy policy) =>
        policy.Jobs.Where(j => states.TryGetValue(j.JobId, out var state) && state.IsGone && state.Trees == j.TreesRevision).Select(j => j.JobId).ToHashSet();

    /// <summary>What a later start of the agent has to know, by job; equal as long as nothing of it changed.</summary>
    public IReadOnlyList<SeenJob> Seen() =>
        [.. states.Where(s => s.Value.IsGone || s.Value.Users.Count > 0).OrderBy(s => s.Key).Select(s => new SeenJob { JobId = s.Key, Trees = s.Value.Trees, Users = [.. s.Value.Users.Order()], IsGone = s.Value.IsGone })];

    /// <summary>Goes on from what a former start of the agent saw.</summary>
    public void Restore(IReadOnlyList<SeenJob> seen)
    {
        foreach (var job in seen)
        {
            var state = new State(job.Trees) { IsGone = job.IsGone, Absent = job.IsGone ? LooksToGo : 0 };
            state.Users.UnionWith(job.Users);
            states[job.JobId] = state;
        }
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
