import { formatBytes, formatCount, formatSeconds, formatShare } from '../format.ts';
import type { RoundSight } from '../live/records.ts';

/** How the last round went, in one line. */
export function sightLine(sight: RoundSight): string {
  const parts = [`${formatBytes(sight.bytesSent)} sent between agents`, `${formatBytes(sight.bufferBytes)} held at most`];
  if (sight.round >= 0) {
    parts.unshift(`round ${formatCount(sight.round)}: ${formatSeconds(sight.gatherSeconds)} to gather, ${formatSeconds(sight.deliverSeconds)} to deliver`);
  }
  if (sight.slowest !== null) {
    parts.push(`slowest ${sight.slowest}, ${formatShare(sight.slowestShare)} of its parent's wait`);
  }
  if (sight.roundsRedone > 0) {
    parts.push(`${formatCount(sight.roundsRedone)} rounds tried again`);
  }
  return parts.join(' · ');
}

/** As the beginning of a line. */
export const sentence = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1);
