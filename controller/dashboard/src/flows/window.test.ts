import { expect, it } from 'vitest';
import { rowWindow } from './window.ts';

it.each([
  [5_000, 0, { first: 0, end: 32 }],
  [5_000, 26 * 1_000, { first: 988, end: 1_032 }],
  [5_000, 26 * 5_000, { first: 4_968, end: 5_000 }],
  [3, 0, { first: 0, end: 3 }],
  [0, 0, { first: 0, end: 0 }],
  // Fewer rows than when it was scrolled: the last page, not a void.
  [40, 26 * 3_000, { first: 8, end: 40 }],
])('%d rows scrolled by %d show %j', (rows, top, expected) => {
  expect(rowWindow(rows, 26, top, 520)).toEqual(expected);
});
