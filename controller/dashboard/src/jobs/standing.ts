import { byName, formatSpan } from '../format.ts';
import type { JobView } from '../live/records.ts';

/** Not ended. */
export const isRunning = (job: JobView): boolean => job.state === 'Pending' || job.state === 'Placed';

export interface Standing {
  readonly word: string;
  readonly tone: 'good' | 'wait' | 'poor' | 'ended';
}

/** Where a job stands, in one word for the operator. */
export function standing(job: JobView): Standing {
  switch (job.state) {
    case 'Pending':
      return { word: 'Pending', tone: 'wait' };
    case 'Placed':
      return job.workersJoined === 0 ? { word: 'Placed', tone: 'wait' } : { word: 'Training', tone: job.troubles.length > 0 ? 'poor' : 'good' };
    case 'Finished':
      return { word: 'Finished', tone: 'ended' };
    case 'Cancelled':
      return { word: 'Cancelled', tone: 'ended' };
  }
}

/** Rounds finished: the hub counts rounds from 0 and says -1 before the first. */
export const roundsFinished = (job: JobView): number => Math.max(0, job.roundsDone + 1);

/** Share of the rounds done, 0..1; null when the number of rounds is not known. */
export const progress = (job: JobView): number | null => (job.spec.rounds > 0 ? Math.min(1, roundsFinished(job) / job.spec.rounds) : null);

/** Time left at the present pace, in words; null when it cannot be told. */
export function timeLeft(job: JobView): string | null {
  const left = job.spec.rounds - roundsFinished(job);
  return isRunning(job) && job.spec.rounds > 0 && left > 0 && job.secondsPerRound > 0 ? formatSpan(left * job.secondsPerRound) : null;
}

/** Jobs in the order of their levels, then names, so that a card moves only when a decision changes. */
export function byLevel(a: JobView, b: JobView): number {
  const level = (job: JobView): number => (job.plan === null || job.plan.level === 0 ? Number.MAX_SAFE_INTEGER : job.plan.level);
  return level(a) - level(b) || byName(a.spec.name, b.spec.name) || a.id - b.id;
}

/** Ended jobs, the latest first. */
export const byEnd = (a: JobView, b: JobView): number => (b.endedAt ?? 0) - (a.endedAt ?? 0) || b.id - a.id;
