using MLNet.SDN.Planning.FlowModel;

namespace MLNet.SDN.Planning.Simulation;

/// <summary>Sees the shares between two events.</summary>
/// <param name="fromSeconds">Start of the interval.</param>
/// <param name="toSeconds">Its end, never before the start.</param>
/// <param name="sending">Numbers of the jobs that send, ascending.</param>
/// <param name="share">Share of every job, by job number; counts for the sending ones only.</param>
/// <param name="level">Level of every job, by job number.</param>
/// <param name="roundSeconds">Communication of the round under way of every job, alone, by job number; counts for the sending ones only.</param>
public delegate void ShareObserver(double fromSeconds, double toSeconds, ReadOnlySpan<int> sending, ReadOnlySpan<double> share, ReadOnlySpan<int> level, ReadOnlySpan<double> roundSeconds);

/// <summary>Runs jobs over links, event by event.</summary>
/// <remarks>
/// A round is computation, then one communication phase that moves all its bytes in step: at share s a job moves the fraction s/t of every link's
/// bytes per second, t being its time alone. Shares change only when a phase begins or ends. Deterministic: equal input, equal output to the last bit.
/// </remarks>
public static class Simulator
{
    // Finishes this close are one event; far above the rounding of a double at a day's length, far below anything that counts.
    private const double SameInstant = 1e-10;

    /// <summary>Runs all jobs to their end.</summary>
    /// <param name="bytesPerSecond">Capacity of each directed link, byte/s.</param>
    /// <param name="jobs">The jobs.</param>
    /// <param name="discipline">Who goes first; a fresh one for each run.</param>
    /// <param name="observer">Sees every interval; may be null.</param>
    /// <param name="plan">Lays traffic anew as the run goes on, and says who waits; null where nothing changes. A fresh one for each run.</param>
    /// <param name="carried">Bytes carried are added to it, by link; null where nobody asks.</param>
    /// <param name="cancellationToken">Stops the run.</param>
    /// <returns>How each job fared, in the order given.</returns>
    /// <exception cref="ArgumentException">A job has a negative or non-finite time, no round, or faulty links.</exception>
    public static SimulatedFinish[] Run(
        ReadOnlySpan<double> bytesPerSecond,
        IReadOnlyList<SimulatedJob> jobs,
        Discipline discipline,
        ShareObserver? observer = null,
        TrafficPlan? plan = null,
        double[]? carried = null,
        CancellationToken cancellationToken = default)
    {
        foreach (var job in jobs)
        {
            if (!(job.ArrivalSeconds >= 0 && job.ComputeSeconds >= 0 && double.IsFinite(job.ArrivalSeconds + job.ComputeSeconds)) || job.Rounds < 1)
            {
                throw new ArgumentException($"Job {job.Name} needs an arrival and a computation of 0 s or more and at least one round.", nameof(jobs));
            }
        }

        return new Course(bytesPerSecond.ToArray(), jobs, discipline, observer, plan, carried).ToEnd(cancellationToken);
    }

    private sealed class Course
    {
        private readonly double[] bytesPerSecond;
        private readonly IReadOnlyList<SimulatedJob> jobs;
        private readonly Discipline discipline;
        private readonly ShareObserver? observer;
        private readonly TrafficPlan? plan;
        private readonly double[]? carried;
        private readonly JobState[] states;
        private readonly SimulatedFinish[] finishes;
        private readonly double[] aloneSeconds;
        private readonly double[] share;
        private readonly double[] weight;
        private readonly int[] level;
        private readonly int[] sending;
        private readonly int[] active;
        private readonly PriorityQueue<int, (double Time, int Job)> computing = new();
        private readonly bool[] arrived;

        // What a job's next round puts on links is flow number job; a round that began before its traffic was laid anew ends as it began, as flow number jobs + job.
        private readonly JobTraffic[] traffic;
        private readonly JobTraffic[] running;
        private readonly double[] runningSeconds;
        private readonly double[] rounds;

        // Computation that a job has left when it waits, seconds; NaN for those that do not wait, or wait while they send.
        private readonly double[] held;
        private int heldCount;
        private FlowDemands demands;
        private ShareAllocator allocator;
        private int sendingCount;
        private bool jobsChanged;
        private double now;

        public Course(double[] bytesPerSecond, IReadOnlyList<SimulatedJob> jobs, Discipline discipline, ShareObserver? observer, TrafficPlan? plan, double[]? carried)
        {
            (this.bytesPerSecond, this.jobs, this.discipline, this.observer, this.plan, this.carried) = (bytesPerSecond, jobs, discipline, observer, plan, carried);
            var flows = plan is null ? jobs.Count : 2 * jobs.Count;
            states = new JobState[jobs.Count];
            finishes = new SimulatedFinish[jobs.Count];
            aloneSeconds = new double[jobs.Count];
            share = new double[flows];
            weight = new double[flows];
            level = new int[flows];
            sending = new int[jobs.Count];
            active = new int[jobs.Count];
            arrived = new bool[jobs.Count];
            traffic = [.. jobs.Select(j => new JobTraffic(j.Links, j.Bytes))];
            running = [.. traffic];
            runningSeconds = new double[jobs.Count];
            rounds = new double[jobs.Count];
            held = new double[jobs.Count];
            Array.Fill(held, double.NaN);
            for (var job = 0; job < jobs.Count; job++)
            {
                (states[job].RoundsLeft, states[job].PhaseLeft) = (jobs[job].Rounds, 1);
            }

            (demands, allocator) = Lay();
        }

        public SimulatedFinish[] ToEnd(CancellationToken cancellationToken)
        {
            for (var job = 0; job < jobs.Count; job++)
            {
                aloneSeconds[job] = jobs[job].Rounds * (jobs[job].ComputeSeconds + states[job].RoundSeconds);
                computing.Enqueue(job, (jobs[job].ArrivalSeconds, job));
            }

            while (sendingCount > 0 || computing.Count > 0 || heldCount > 0)
            {
                cancellationToken.ThrowIfCancellationRequested();

                // 1. The next event: a computation ends (or a job arrives), or a phase does, or something goes or comes back.
                var next = computing.TryPeek(out _, out var due) ? due.Time : double.PositiveInfinity;
                foreach (var job in sending.AsSpan(0, sendingCount))
                {
                    next = Math.Min(next, PhaseEnd(job));
                }

                next = Math.Max(plan is null ? next : Math.Min(next, plan.NextChange(now)), now);
                observer?.Invoke(now, next, sending.AsSpan(0, sendingCount), share, level, runningSeconds);

                // 2. Everybody moves on to it.
                var stay = 0;
                for (var i = 0; i < sendingCount; i++)
                {
                    var job = sending[i];
                    if (PhaseEnd(job) <= next + SameInstant)
                    {
                        EndRound(job, next);
                        continue;
                    }

                    states[job].PhaseLeft -= share[job] * (next - now) / runningSeconds[job];
                    sending[stay++] = job;
                }

                sendingCount = stay;
                now = next;

                // 3. Arrivals compute, those that have computed send.
                while (computing.TryPeek(out var job, out due) && due.Time <= now + SameInstant)
                {
                    computing.Dequeue();
                    if (!arrived[job])
                    {
                        Arrive(job);
                    }
                    else
                    {
                        BeginPhase(job);
                    }
                }

                // 4. Traffic, where it is laid anew, and new shares.
                if (plan?.Change(now, states, jobsChanged, traffic) == true)
                {
                    if (plan.AtOnce)
                    {
                        SwitchRounds();
                    }

                    (demands, allocator) = Lay();
                    jobsChanged = true;
                    Hold();
                }

                Share();
            }

            return finishes;
        }

        private void Share()
        {
            Array.Clear(level);
            Array.Fill(weight, 1);
            for (var job = 0; jobsChanged && job < jobs.Count; job++)
            {
                // A round that computes may be about to begin or to end: it is taken as half computed.
                var state = states[job];
                var left = state.SecondsLeft + ((state.RoundsLeft - (state.Sending ? 1 : 0.5)) * jobs[job].ComputeSeconds);
                states[job].Slowdown = state.Present && aloneSeconds[job] > 0 ? (now - jobs[job].ArrivalSeconds + left) / aloneSeconds[job] : 1;
            }

            discipline.Assign(states, sending.AsSpan(0, sendingCount), jobsChanged, level.AsSpan(0, jobs.Count), weight.AsSpan(0, jobs.Count));
            jobsChanged = false;
            var count = 0;
            for (var i = 0; i < sendingCount; i++)
            {
                var job = sending[i];
                if (plan?.Waits(job) == true)
                {
                    share[job] = 0;
                    continue;
                }

                var flow = ReferenceEquals(running[job], traffic[job]) ? job : jobs.Count + job;
                (level[flow], weight[flow]) = (level[job], weight[job]);
                active[count++] = flow;
            }

            if (discipline.ClassWeights.IsEmpty)
            {
                allocator.Solve(active.AsSpan(0, count), level, weight, discipline.Floor, share);
            }
            else
            {
                allocator.SolveWeighted(active.AsSpan(0, count), level, discipline.ClassWeights, share);
            }

            foreach (var flow in active.AsSpan(0, count))
            {
                share[flow % jobs.Count] = share[flow];
            }
        }

        // What is left of the rounds under way moves as the traffic in force says.
        private void SwitchRounds()
        {
            foreach (var job in sending.AsSpan(0, sendingCount))
            {
                rounds[job] -= states[job].PhaseLeft;
                Carry(job);
                rounds[job] = states[job].PhaseLeft;
                running[job] = traffic[job];
            }
        }

        // Jobs that wait stop computing, and go on where they stopped.
        private void Hold()
        {
            for (var job = 0; job < jobs.Count; job++)
            {
                if (!arrived[job] || states[job].RoundsLeft == 0 || states[job].Sending)
                {
                    continue;
                }

                if (plan!.Waits(job) && double.IsNaN(held[job]) && computing.Remove(job, out _, out var due))
                {
                    held[job] = Math.Max(0, due.Time - now);
                    heldCount++;
                }
                else if (!plan.Waits(job) && !double.IsNaN(held[job]))
                {
                    computing.Enqueue(job, (now + held[job], job));
                    held[job] = double.NaN;
                    heldCount--;
                }
            }
        }

        private void Compute(int job, double from, double seconds)
        {
            if (plan?.Waits(job) == true)
            {
                held[job] = seconds;
                heldCount++;
            }
            else
            {
                computing.Enqueue(job, (from + seconds, job));
            }
        }

        private (FlowDemands Demands, ShareAllocator Allocator) Lay()
        {
            var flows = new JobTraffic[share.Length];
            Array.Fill(flows, new([], []));
            for (var job = 0; job < jobs.Count; job++)
            {
                if (states[job].RoundsLeft == 0)
                {
                    continue;
                }

                flows[job] = traffic[job];
                if (states[job].Sending && !ReferenceEquals(running[job], traffic[job]))
                {
                    flows[jobs.Count + job] = running[job];
                }
            }

            var laid = FlowDemands.Create(bytesPerSecond, [.. flows.Select(f => f.Links)], [.. flows.Select(f => f.Bytes)]);
            for (var job = 0; job < jobs.Count; job++)
            {
                states[job].RoundSeconds = laid.SecondsAtFullShare(job);
                if (ReferenceEquals(running[job], traffic[job]))
                {
                    runningSeconds[job] = states[job].RoundSeconds;
                }
            }

            discipline.Begin(jobs, laid);
            return (laid, new(laid));
        }

        private double PhaseEnd(int job) => share[job] > 0 ? now + (states[job].PhaseLeft * runningSeconds[job] / share[job]) : double.PositiveInfinity;

        private void Arrive(int job)
        {
            arrived[job] = true;
            jobsChanged = true;

            // One that never sends computes all its rounds at one go; who shares links need not know of it.
            states[job].Present = states[job].RoundSeconds > 0;
            Compute(job, jobs[job].ArrivalSeconds, states[job].Present ? jobs[job].ComputeSeconds : jobs[job].Rounds * jobs[job].ComputeSeconds);
        }

        private void BeginPhase(int job)
        {
            if (!states[job].Present)
            {
                Finish(job, now);
                return;
            }

            states[job].Sending = true;
            if (!ReferenceEquals(running[job], traffic[job]))
            {
                Carry(job);
                running[job] = traffic[job];
            }

            rounds[job]++;
            runningSeconds[job] = states[job].RoundSeconds;
            var at = sendingCount++;
            for (; at > 0 && sending[at - 1] > job; at--)
            {
                sending[at] = sending[at - 1];
            }

            sending[at] = job;
        }

        private void EndRound(int job, double time)
        {
            states[job].Sending = false;
            states[job].PhaseLeft = 1;
            if (--states[job].RoundsLeft == 0)
            {
                Finish(job, time);
            }
            else
            {
                Compute(job, time, jobs[job].ComputeSeconds);
            }
        }

        private void Finish(int job, double time)
        {
            states[job].Present = false;
            states[job].RoundsLeft = 0;
            jobsChanged = true;
            Carry(job);
            finishes[job] = new(time, time - jobs[job].ArrivalSeconds, aloneSeconds[job]);
        }

        // The rounds begun with the traffic in force.
        private void Carry(int job)
        {
            for (var i = 0; carried is not null && i < running[job].Links.Length; i++)
            {
                carried[running[job].Links[i]] += rounds[job] * running[job].Bytes[i];
            }

            rounds[job] = 0;
        }
    }
}
