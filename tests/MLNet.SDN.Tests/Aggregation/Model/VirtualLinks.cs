namespace MLNet.SDN.Tests.Aggregation.Model;

/// <summary>One direction of a data connection: frames arrive in the order in which they were sent.</summary>
internal sealed class Channel(VirtualHost from, VirtualHost to)
{
    public VirtualHost From { get; } = from;

    public VirtualHost To { get; } = to;

    public Queue<byte[]> Frames { get; } = new();
}

/// <summary>The data connections between two lives of two agents.</summary>
internal sealed class Link(VirtualHost a, VirtualHost b)
{
    public VirtualHost A { get; } = a;

    public VirtualHost B { get; } = b;

    public ulong LifeA { get; } = a.Life;

    public ulong LifeB { get; } = b.Life;

    public Channel[] Forth { get; } = [.. Enumerable.Range(0, VirtualFabric.Stripes).Select(_ => new Channel(a, b))];

    public Channel[] Back { get; } = [.. Enumerable.Range(0, VirtualFabric.Stripes).Select(_ => new Channel(b, a))];
}

/// <summary>A host's signalling connection with the anchor's agent.</summary>
internal sealed class SignalLink(VirtualHost host)
{
    public VirtualHost Host { get; } = host;

    public bool Up { get; set; }

    public TimeSpan? SilentSince { get; set; }

    public Queue<byte[]> Down { get; } = new();

    public Queue<byte[]> UpWay { get; } = new();
}
