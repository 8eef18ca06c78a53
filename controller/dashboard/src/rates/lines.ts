import type { Instant } from '../units.ts';
import { gapMs, type RateSample } from './history.ts';

/** A stretch of a series without a gap and with one code point. */
export interface Stretch {
  readonly dscp: string;
  readonly samples: readonly RateSample[];
}

/** Cuts a series where samples are missing and where the code point changes; a change shares its sample, so that the line goes on in the new colour. */
export function stretches(samples: readonly RateSample[]): readonly Stretch[] {
  const result: { dscp: string; samples: RateSample[] }[] = [];
  let before: RateSample | undefined;
  for (const sample of samples) {
    const current = result.at(-1);
    if (before === undefined || current === undefined || sample.at - before.at > gapMs) {
      result.push({ dscp: sample.dscp, samples: [sample] });
    } else {
      current.samples.push(sample);
      if (current.dscp !== sample.dscp) {
        result.push({ dscp: sample.dscp, samples: [sample] });
      }
    }
    before = sample;
  }
  return result;
}

/** The sample in force at a time: the last one not after it, unless that is older than a gap. */
export function sampleAt(samples: readonly RateSample[], at: Instant): RateSample | null {
  for (let i = samples.length - 1; i >= 0; i--) {
    const sample = samples[i]!;
    if (sample.at <= at) {
      return at - sample.at <= gapMs ? sample : null;
    }
  }
  return null;
}

/** Dashes by place in the list, so that two jobs of one level can be told apart. */
export const dashes = ['', '7 3', '2 3', '9 3 2 3', '4 2 1 2', '12 4'] as const;
