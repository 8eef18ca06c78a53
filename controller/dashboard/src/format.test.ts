import { describe, expect, it } from 'vitest';
import * as format from './format.ts';
import { bitsPerSecond, bytes, instant } from './units.ts';

/** With plain spaces, to be readable here. */
const plain = (text: string): string => text.replace(/[\u00a0\u202f]/g, ' ');

describe('formatRate', () => {
  it.each([
    [0, '0 bit/s'], [0.3, '0 bit/s'], [7, '7 bit/s'], [999.4, '999 bit/s'], [999.5, '1.00 kbit/s'], [1_000, '1.00 kbit/s'], [9_994, '9.99 kbit/s'], [9_996, '10.0 kbit/s'],
    [20_000_000, '20.0 Mbit/s'], [99_960_000, '100 Mbit/s'], [999_500_000, '1.00 Gbit/s'], [1.5e12, '1.50 Tbit/s'], [Number.NaN, '–'], [Number.POSITIVE_INFINITY, '–'],
  ])('%d is %s', (value, text) => expect(plain(format.formatRate(bitsPerSecond(value)))).toBe(text));
});

describe('formatBytes', () => {
  it.each([[0, '0 B'], [1, '1 B'], [999, '999 B'], [1_000, '1.00 kB'], [1_048_576, '1.05 MB'], [123_456_789, '123 MB'], [2e18, '2.00 EB'], [5e21, '5000 EB'], [-1_500, '−1.50 kB']])(
    '%d is %s', (value, text) => expect(plain(format.formatBytes(bytes(value)))).toBe(text),
  );
});

it('a rate is never shown as an amount, nor an amount as a rate', () => {
  for (const value of [1, 1e3, 1e6, 1e9]) {
    expect(format.formatRate(bitsPerSecond(value))).toMatch(/bit\/s$/);
    expect(format.formatBytes(bytes(value))).not.toMatch(/bit/);
  }
  // @ts-expect-error An amount is no rate.
  format.formatRate(bytes(1));
  // @ts-expect-error A rate is no amount.
  format.formatBytes(bitsPerSecond(1));
  // @ts-expect-error A bare number says no unit.
  format.formatRate(1);
});

describe('formatRateOf', () => {
  it.each([
    [9_410_000, 10_000_000, '9.41 of 10 Mbit/s'], [0, 10_000_000, '0 of 10 Mbit/s'], [12_345, 20_000_000, '0.01 of 20 Mbit/s'], [24.8e9, 25e9, '24.8 of 25 Gbit/s'],
    [1e8, 1e9, '0.10 of 1 Gbit/s'], [5, 0, '5 of 0 bit/s'], [1.2e8, 1e8, '120 of 100 Mbit/s'],
  ])('%d of %d is %s', (rate, limit, text) => expect(plain(format.formatRateOf(bitsPerSecond(rate), bitsPerSecond(limit)))).toBe(text));
});

describe('formatShare', () => {
  it.each([[0, '0 %'], [0.001, '<1 %'], [0.006, '1 %'], [0.824, '82 %'], [1, '100 %'], [1.2, '120 %'], [Number.NaN, '–']])('%d is %s', (value, text) =>
    expect(plain(format.formatShare(value))).toBe(text));
});

describe('formatSeconds', () => {
  it.each([[0, '–'], [-1, '–'], [Number.NaN, '–'], [0.0042, '4.2 ms'], [0.042, '42 ms'], [0.0999, '0.10 s'], [0.416, '0.42 s'], [9.996, '10.0 s'], [12.34, '12.3 s'], [200, '3 min 20 s']])(
    '%d is %s', (value, text) => expect(plain(format.formatSeconds(value))).toBe(text),
  );
});

describe('formatSpan', () => {
  it.each([[0, '0 s'], [-3, '0 s'], [59.4, '59 s'], [59.6, '1 min'], [3_599, '59 min 59 s'], [3_600, '1 h'], [7_500, '2 h 5 min'], [90_000, '1 d 1 h'], [Number.POSITIVE_INFINITY, '–']])(
    '%d is %s', (value, text) => expect(plain(format.formatSpan(value))).toBe(text),
  );
});

describe('formatAge', () => {
  it.each([[10_000, 10_500, 'now'], [10_500, 10_000, 'now'], [10_000, 22_000, '12 s ago']])('%d at %d is %s', (then, now, text) =>
    expect(plain(format.formatAge(instant(then), instant(now)))).toBe(text));
});

describe('formatCount', () => {
  it.each([[0, '0'], [999, '999'], [1_204, '1 204'], [1_234_567, '1 234 567']])('%d is %s', (value, text) => expect(plain(format.formatCount(value))).toBe(text));
});

it('names in a row are cut with how many more there are', () => {
  expect(format.formatNames(['a', 'b'], 2)).toBe('a, b');
  expect(format.formatNames(['a', 'b', 'c', 'd'], 2)).toBe('a, b and 2 more');
});

it('names with numbers are ordered as people order them', () => {
  expect(['h0-0-10', 'h0-0-2', 'h0-0-1'].sort(format.byName)).toEqual(['h0-0-1', 'h0-0-2', 'h0-0-10']);
});
