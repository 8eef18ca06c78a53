import type { JobView, LiveFilter, LiveFlow } from '../live/records.ts';
import { bitsPerSecond, type BitsPerSecond, type Instant } from '../units.ts';

/** What one job's flows sent together at one moment. */
export interface RateSample {
  readonly at: Instant;
  readonly rate: BitsPerSecond;
  /** The job's code point then: as planned, or without a plan as its fastest flow was sent. */
  readonly dscp: string;
}

/** Samples of one job, oldest first. The name `null` stands for all flows without a job. */
export interface RateSeries {
  readonly job: string | null;
  readonly samples: readonly RateSample[];
}

/** One series for each job seen within the window. */
export type RateHistory = readonly RateSeries[];

/** How far back samples are kept, milliseconds. */
export const historyMs = 5 * 60_000;

/** Samples further apart than this are not joined by a line, milliseconds: three missed seconds. */
export const gapMs = 4_000;

interface Sampled {
  readonly flows: ReadonlyMap<string, LiveFlow>;
  readonly jobs: ReadonlyMap<number, JobView>;
  readonly filter: LiveFilter;
  readonly rates: RateHistory;
}

/** The history with one more sample for each job whose flows are all known, and without what is older than the window. */
export function sampleRates(state: Sampled, at: Instant): RateHistory {
  const sums = new Map<string | null, number>();
  const dscps = new Map<string | null, string>();
  for (const job of state.jobs.values()) {
    if (job.state === 'Pending' || job.state === 'Placed') {
      sums.set(job.spec.name, 0);
      if (job.plan !== null) {
        dscps.set(job.spec.name, job.plan.dscp);
      }
    }
  }
  const fastest = new Map<string | null, LiveFlow>();
  for (const flow of state.flows.values()) {
    sums.set(flow.job, (sums.get(flow.job) ?? 0) + flow.rateBitsPerSecond);
    const known = fastest.get(flow.job);
    if (known === undefined || flow.rateBitsPerSecond > known.rateBitsPerSecond) {
      fastest.set(flow.job, flow);
    }
  }
  // Without a plan, what most of its traffic carries.
  const dscpOf = (job: string | null): string | null => dscps.get(job) ?? fastest.get(job)?.dscpSent ?? null;
  if (state.filter.host !== null) {
    // The controller sends only some flows of each job: their sum would be no job's rate.
    sums.clear();
  } else if (state.filter.job !== null) {
    for (const job of sums.keys()) {
      if (job !== state.filter.job) {
        sums.delete(job);
      }
    }
  }

  const oldest = at - historyMs;
  const next: RateSeries[] = [];
  const seen = new Set<string | null>();
  for (const series of state.rates) {
    seen.add(series.job);
    const kept = series.samples.filter((s) => s.at >= oldest && s.at < at);
    const sum = sums.get(series.job);
    if (sum !== undefined) {
      const dscp = dscpOf(series.job) ?? kept.at(-1)?.dscp ?? 'CS0';
      kept.push({ at, rate: bitsPerSecond(sum), dscp });
    }
    if (kept.length > 0) {
      next.push({ job: series.job, samples: kept });
    }
  }
  for (const [job, sum] of sums) {
    if (!seen.has(job)) {
      next.push({ job, samples: [{ at, rate: bitsPerSecond(sum), dscp: dscpOf(job) ?? 'CS0' }] });
    }
  }
  return next;
}
