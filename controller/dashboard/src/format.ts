import type { BitsPerSecond, Bytes, Instant } from './units.ts';

// Rates are bit/s and amounts are bytes, both with decimal prefixes (1 kbit = 1000 bit, 1 kB = 1000 B), as networks count.

const prefixes = ['', 'k', 'M', 'G', 'T', 'P', 'E'];

/** Three significant digits with a prefix, and a no-break space before the unit: `12.3 Mbit/s`. */
function scaled(value: number, unit: string): string {
  if (!Number.isFinite(value)) {
    return '–';
  }
  const sign = value < 0 ? '−' : '';
  let rest = Math.abs(value);
  let power = 0;
  // 999.5 and more would be shown as 1000.
  while (rest >= 999.5 && power < prefixes.length - 1) {
    rest /= 1000;
    power++;
  }
  const digits = power === 0 && Number.isInteger(rest) ? 0 : rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : rest === 0 ? 0 : 2;
  return `${sign}${rest.toFixed(digits)}\u00a0${prefixes[power]}${unit}`;
}

/** A rate: `9.41 Mbit/s`. */
export const formatRate = (rate: BitsPerSecond): string => scaled(rate >= 0 && rate < 0.5 ? 0 : rate, 'bit/s');

/** A rate beside its limit, in the limit's unit: `9.41 of 10 Mbit/s`. */
export function formatRateOf(rate: BitsPerSecond, limit: BitsPerSecond): string {
  const power = limit >= 1 ? Math.min(prefixes.length - 1, Math.floor(Math.log10(limit) / 3 + 1e-9)) : 0;
  const scale = 1000 ** power;
  const digits = (value: number): string => (value >= 99.95 || value === 0 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2)).replace(/\.0+$/, '');
  return `${digits(Math.max(0, rate) / scale)} of ${digits(limit / scale)}\u00a0${prefixes[power]}bit/s`;
}

/** An amount of data: `1.05 MB`. */
export const formatBytes = (amount: Bytes): string => scaled(amount, 'B');

/** A share of 1: `82 %`; less than half a per cent that is not nothing is `<1 %`. */
export function formatShare(share: number): string {
  if (!Number.isFinite(share)) {
    return '–';
  }
  const percent = share * 100;
  return percent > 0 && percent < 0.5 ? '<1\u00a0%' : `${Math.round(percent)}\u00a0%`;
}

/** A time that a round takes: `0.42 s`, `12.3 s`, `3 min 20 s`; `–` for 0, which means unknown. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds <= 0) {
    return '–';
  }
  if (seconds >= 99.95) {
    return formatSpan(seconds);
  }
  if (seconds < 0.0995) {
    const ms = seconds * 1000;
    return `${ms.toFixed(ms < 9.95 ? 1 : 0)}\u00a0ms`;
  }
  return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)}\u00a0s`;
}

/** A longer time in its two largest units: `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatSpan(seconds: number): string {
  if (!Number.isFinite(seconds)) {
    return '–';
  }
  const s = Math.max(0, Math.round(seconds));
  const join = (a: number, unitA: string, b: number, unitB: string): string => (b === 0 ? `${a}\u00a0${unitA}` : `${a}\u00a0${unitA} ${b}\u00a0${unitB}`);
  if (s < 60) {
    return `${s}\u00a0s`;
  }
  if (s < 3600) {
    return join(Math.floor(s / 60), 'min', s % 60, 's');
  }
  if (s < 86_400) {
    return join(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min');
  }
  return join(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3600), 'h');
}

/** How long ago, both by the same clock: `now` under two seconds, else `12 s ago`. Clocks that differ a little give no negative ages. */
export function formatAge(then: Instant, now: Instant): string {
  const seconds = (now - then) / 1000;
  return seconds < 2 ? 'now' : `${formatSpan(seconds)} ago`;
}

/** The time of day in this browser's time zone, `14:02:11`. */
export function formatClock(at: Instant): string {
  const d = new Date(at);
  return [d.getHours(), d.getMinutes(), d.getSeconds()].map((n) => String(n).padStart(2, '0')).join(':');
}

/** A count with thin spaces between thousands: `12 345`. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');
}

/** `1 flow`, `2 flows`. */
export const counted = (count: number, one: string, many = `${one}s`): string => `${formatCount(count)} ${count === 1 ? one : many}`;

/** Names in a row: all of them up to `most`, else the first and how many more. */
export function formatNames(names: readonly string[], most: number): string {
  return names.length <= most ? names.join(', ') : `${names.slice(0, most).join(', ')} and ${names.length - most} more`;
}

/** IP protocol number as its name where it is TCP or UDP. */
export const formatProtocol = (protocol: number): string => (protocol === 6 ? 'TCP' : protocol === 17 ? 'UDP' : `protocol ${protocol}`);

/** The order of people for names with numbers: `h0-0-2` before `h0-0-10`. */
const natural = new Intl.Collator('en', { numeric: true });
export const byName = (a: string, b: string): number => natural.compare(a, b);
