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
    // Links of a page: a copy is one of the pages' list, and a change copies one page.
    private const int PageLinks = 128;

    private readonly Page?[] pages;
    private readonly object owner = new();

    public LinkUsers(int links) => pages = new Page?[(links + PageLinks - 1) / PageLinks];

    private LinkUsers(Page?[] pages) => this.pages = pages;

    /// <summary>Users of a link, in the order in which they came.</summary>
    public ReadOnlySpan<LinkUser> this[int link] => pages[link / PageLinks]?.Lists[link % PageLinks] is { } list ? list.Users.AsSpan(0, list.Count) : [];

    /// <summary>A copy that can be changed while this one stays.</summary>
    public LinkUsers Copy() => new((Page?[])pages.Clone());

    public void Add(int link, LinkUser user)
    {
        var list = Own(link, room: 1);
        list.Users[list.Count++] = user;
    }

    public void Remove(int link, long job)
    {
        var list = Own(link, room: 0);
        for (var i = 0; i < list.Count; i++)
        {
            if (list.Users[i].Job == job)
            {
                // Order is kept, so that sums do not depend on who came and went.
                list.Users.AsSpan(i + 1, list.Count - i - 1).CopyTo(list.Users.AsSpan(i));
                list.Count--;
                return;
            }
        }
    }

    private UserList Own(int link, int room)
    {
        var page = pages[link / PageLinks];
        if (page is null || page.Owner != owner)
        {
            pages[link / PageLinks] = page = new(owner, page is null ? new UserList?[PageLinks] : (UserList?[])page.Lists.Clone());
        }

        var list = page.Lists[link % PageLinks];
        if (list is null || list.Owner != owner || list.Users.Length < list.Count + room)
        {
            var count = list?.Count ?? 0;
            var users = new LinkUser[list is null || list.Users.Length < count + room ? (count * 3 / 2) + 2 : list.Users.Length];
            list?.Users.AsSpan(0, count).CopyTo(users);
            page.Lists[link % PageLinks] = list = new(owner, users) { Count = count };
        }

        return list;
    }

    private sealed record Page(object Owner, UserList?[] Lists);

    private sealed class UserList(object owner, LinkUser[] users)
    {
        public object Owner { get; } = owner;

        public LinkUser[] Users { get; } = users;

        public int Count { get; set; }
    }
}
