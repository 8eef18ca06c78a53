using MLNet.SDN.Planning.FlowModel;

namespace MLNet.SDN.Planning.Simulation;

/// <summary>Sees the shares between two events.</summary>
/// <param name="fromSeconds">Start of the interval.</param>
/// <param name="toSeconds">Its end, never before the start.</param>
/// <param name="sending">Numbers of the jobs that send, ascending.</param>
/// <param name="share">Share of every job, by job number; counts for the sending ones only.</param>
/// <param name="level">Level of every job, by job number.</param>
public delegate void ShareObserver(double fromSeconds, double toSeconds, ReadOnlySpan<int> sending, ReadOnlySpan<double> share, ReadOnlySpan<int> level);

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
    /// <param name="cancellationToken">Stops the run.</param>
    /// <returns>How each job fared, in the order given.</returns>
    /// <exception cref="ArgumentException">A job has a negative or non-finite time, no round, or faulty links.</exception>
    public static SimulatedFinish[] Run(
        ReadOnlySpan<double> bytesPerSecond,
        IReadOnlyList<SimulatedJob> jobs,
        Discipline discipline,
        ShareObserver? observer = null,
        CancellationToken cancellationToken = default)
    {
        foreach (var job in jobs)
        {
            if (!(job.ArrivalSeconds >= 0 && job.ComputeSeconds >= 0 && double.IsFinite(job.ArrivalSeconds + job.ComputeSeconds)) || job.Rounds < 1)
            {
                throw new ArgumentException($"Job {job.Name} needs an arrival and a computation of 0 s or more and at least one round.", nameof(jobs));
            }
        }

        var demands = FlowDemands.Create(bytesPerSecond, [.. jobs.Select(j => j.Links)], [.. jobs.Select(j => j.Bytes)]);
        discipline.Begin(jobs, demands);
        return new Course(jobs, demands, discipline, observer).ToEnd(cancellationToken);
    }

    private sealed class Course(IReadOnlyList<SimulatedJob> jobs, FlowDemands demands, Discipline discipline, ShareObserver? observer)
    {
        private readonly ShareAllocator allocator = new(demands);
        private readonly JobState[] states = new JobState[jobs.Count];
        private readonly SimulatedFinish[] finishes = new SimulatedFinish[jobs.Count];
        private readonly double[] share = new double[jobs.Count];
        private readonly double[] weight = new double[jobs.Count];
        private readonly int[] level = new int[jobs.Count];
        private readonly int[] sending = new int[jobs.Count];
        private readonly PriorityQueue<int, (double Time, int Job)> computing = new();
        private readonly bool[] arrived = new bool[jobs.Count];
        private int sendingCount;
        private bool jobsChanged;
        private double now;

        public SimulatedFinish[] ToEnd(CancellationToken cancellationToken)
        {
            for (var job = 0; job < jobs.Count; job++)
            {
                states[job] = new() { RoundsLeft = jobs[job].Rounds, PhaseLeft = 1, RoundSeconds = demands.SecondsAtFullShare(job) };
                computing.Enqueue(job, (jobs[job].ArrivalSeconds, job));
            }

            while (sendingCount > 0 || computing.Count > 0)
            {
                cancellationToken.ThrowIfCancellationRequested();

                // 1. The next event: a computation ends (or a job arrives), or a phase does.
                var next = computing.TryPeek(out _, out var due) ? due.Time : double.PositiveInfinity;
                foreach (var job in sending.AsSpan(0, sendingCount))
                {
                    next = Math.Min(next, PhaseEnd(job));
                }

                next = Math.Max(next, now);
                observer?.Invoke(now, next, sending.AsSpan(0, sendingCount), share, level);

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

                    states[job].PhaseLeft -= share[job] * (next - now) / states[job].RoundSeconds;
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

                // 4. New shares.
                Array.Clear(level);
                Array.Fill(weight, 1);
                discipline.Assign(states, sending.AsSpan(0, sendingCount), jobsChanged, level, weight);
                jobsChanged = false;
                allocator.Solve(sending.AsSpan(0, sendingCount), level, weight, discipline.Floor, share);
            }

            return finishes;
        }

        private double PhaseEnd(int job) => share[job] > 0 ? now + (states[job].PhaseLeft * states[job].RoundSeconds / share[job]) : double.PositiveInfinity;

        private void Arrive(int job)
        {
            arrived[job] = true;
            states[job].Present = true;
            jobsChanged = true;
            if (states[job].RoundSeconds > 0)
            {
                computing.Enqueue(job, (jobs[job].ArrivalSeconds + jobs[job].ComputeSeconds, job));
            }
            else
            {
                // It never sends, so nothing can hold it up.
                Finish(job, jobs[job].ArrivalSeconds + (jobs[job].Rounds * jobs[job].ComputeSeconds));
            }
        }

        private void BeginPhase(int job)
        {
            states[job].Sending = true;
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
                computing.Enqueue(job, (time + jobs[job].ComputeSeconds, job));
            }
        }

        private void Finish(int job, double time)
        {
            states[job].Present = false;
            jobsChanged = true;
            finishes[job] = new(time, time - jobs[job].ArrivalSeconds, jobs[job].Rounds * (jobs[job].ComputeSeconds + states[job].RoundSeconds));
        }
    }
}
