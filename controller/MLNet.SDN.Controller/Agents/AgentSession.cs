using System.Threading.Channels;
using Microsoft.AspNetCore.SignalR;
using MLNet.SDN.Contracts;
using MLNet.SDN.Controller.State;

namespace MLNet.SDN.Controller.Agents;

/// <summary>One accepted connection of an agent: pushes what the host is to hold until it is acknowledged. Each has its own loop, so a slow agent delays nobody else.</summary>
internal sealed class AgentSession(string host, Guid boot, string endpoint, IClientProxy client, Action abort, TimeProvider time)
{
    private static readonly TimeSpan FirstRepeat = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan LastRepeat = TimeSpan.FromSeconds(30);

    // Room for one: a turn that is due already will see every change made until it comes.
    private readonly Channel<byte> _wake = Channel.CreateBounded<byte>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>The host.</summary>
    public string Host { get; } = host;

    /// <summary>Boot of the agent's process.</summary>
    public Guid Boot { get; } = boot;

    /// <summary>Where it dialled from.</summary>
    public string Endpoint { get; } = endpoint;

    /// <summary>Reports already taken over, over all connections of this boot.</summary>
    public ReportSequence Sequence { get; set; } = new();

    /// <summary>Closes the connection.</summary>
    public void Abort() => abort();

    /// <summary>Something changed that the agent may have to hear of.</summary>
    public void Wake() => _wake.Writer.TryWrite(0);

    /// <summary>Pushes until the connection ends.</summary>
    /// <param name="sent">Revision that the answer to Hello carried.</param>
    /// <param name="watched">What the answer to Hello said.</param>
    public async Task RunAsync(ControlPlane control, AgentRegistry registry, Revision sent, bool watched, CancellationToken aborted)
    {
        var repeat = FirstRepeat;
        var due = time.GetUtcNow() + repeat;
        try
        {
            while (!aborted.IsCancellationRequested)
            {
                var state = control.Current;
                if (state is null || !state.Policies.TryGetValue(Host, out var desired))
                {
                    Abort();
                    return;
                }

                if (registry.Watched != watched)
                {
                    watched = !watched;
                    await client.SendAsync(AgentHubMethods.SetWatched, watched, aborted);
                }

                var policy = desired.Policy;
                var wait = Timeout.InfiniteTimeSpan;
                if (registry.Status(Host).Acknowledged < policy.Revision)
                {
                    var now = time.GetUtcNow();
                    if (sent != policy.Revision || now >= due)
                    {
                        repeat = sent != policy.Revision ? FirstRepeat : repeat * 2 < LastRepeat ? repeat * 2 : LastRepeat;
                        sent = policy.Revision;
                        registry.MarkSent(Host, sent);
                        await client.SendAsync(AgentHubMethods.ApplyPolicy, policy, aborted);
                        due = time.GetUtcNow() + repeat;
                    }

                    wait = due - time.GetUtcNow();
                    wait = wait > TimeSpan.Zero ? wait : TimeSpan.FromMilliseconds(1);
                }

                await WaitAsync(wait, aborted);
            }
        }
        catch (OperationCanceledException)
        {
            // The connection ended.
        }
        finally
        {
            registry.Disconnect(this);
        }
    }

    private async Task WaitAsync(TimeSpan wait, CancellationToken aborted)
    {
        if (wait == Timeout.InfiniteTimeSpan)
        {
            await _wake.Reader.ReadAsync(aborted);
            return;
        }

        using var timer = new CancellationTokenSource(wait, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, aborted);
        try
        {
            await _wake.Reader.ReadAsync(both.Token);
        }
        catch (OperationCanceledException) when (!aborted.IsCancellationRequested)
        {
            // Time to look again.
        }
    }
}
