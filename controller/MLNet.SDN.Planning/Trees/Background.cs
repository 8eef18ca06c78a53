namespace MLNet.SDN.Planning.Trees;

/// <summary>A job's use of a link.</summary>
/// <param name="Job">The job.</param>
/// <param name="Duty">Part of the time for which it keeps the link busy while it runs, alone.</param>
/// <param name="Length">How long it runs, seconds.</param>
internal readonly record struct LinkUser(long Job, double Duty, double Length);

/// <summary>What the other jobs take of each link on average while this one runs: a job that ends early stands in the way for that long only.</summary>
/// <param name="users">Of every link.</param>
/// <param name="job">Whose view it is.</param>
/// <param name="length">How long that job runs, seconds; 0 when unknown.</param>
internal sealed class Background(LinkUsers users, long job, double length)
{
    /// <summary>Part of the time for which others keep the link busy; above one where they ask for more than all of it.</summary>
    public double this[int link]
    {
        get
        {
            var busy = 0.0;
            foreach (var user in users[link])
            {
                if (user.Job != job)
                {
                    busy += user.Duty * (length <= 0 ? 1 : Math.Min(1, user.Length / length));
                }
            }

            return busy;
        }
    }
}

/// <summary>Who uses which link. A copy costs little: links share their lists until one is changed. Not thread-safe while it changes.</summary>
internal sealed class LinkUsers
{
    private readonly Entry[] entries;
    private readonly object owner = new();

    public LinkUsers(int links)
    {
        entries = new Entry[links];
        Array.Fill(entries, new Entry(owner));
    }

    private LinkUsers(Entry[] entries) => this.entries = entries;

    /// <summary>Users of a link, in no order that matters.</summary>
    public ReadOnlySpan<LinkUser> this[int link] => entries[link].Users.AsSpan(0, entries[link].Count);

    /// <summary>A copy that can be changed while this one stays.</summary>
    public LinkUsers Copy() => new((Entry[])entries.Clone());

    public void Add(int link, LinkUser user)
    {
        var entry = Own(link, room: 1);
        entry.Users[entry.Count++] = user;
    }

    public void Remove(int link, long job)
    {
        var entry = Own(link, room: 0);
        for (var i = 0; i < entry.Count; i++)
        {
            if (entry.Users[i].Job == job)
            {
                // Order is kept, so that sums do not depend on who came and went.
                entry.Users.AsSpan(i + 1, entry.Count - i - 1).CopyTo(entry.Users.AsSpan(i));
                entry.Count--;
                return;
            }
        }
    }

    private Entry Own(int link, int room)
    {
        var entry = entries[link];
        if (entry.Owner != owner || entry.Users.Length < entry.Count + room)
        {
            var users = new LinkUser[Math.Max(entry.Count + room, entry.Users.Length < entry.Count + room ? (entry.Count * 3 / 2) + 2 : entry.Count)];
            entry.Users.AsSpan(0, entry.Count).CopyTo(users);
            entries[link] = entry = new(owner) { Users = users, Count = entry.Count };
        }

        return entry;
    }

    private sealed class Entry(object owner)
    {
        public object Owner { get; } = owner;

        public LinkUser[] Users { get; init; } = [];

        public int Count { get; set; }
    }
}
