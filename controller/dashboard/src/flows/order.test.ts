import { describe, expect, it } from 'vitest';
import { decodeUpdate } from '../live/decode.ts';
import type { LiveFlow } from '../live/records.ts';
import { flowJson, jobJson, updateJson } from '../live/samples.ts';
import { arrange, mismatched, plannedInstead, type FlowQuery, type FlowSort } from './order.ts';

const flow = (over: Record<string, unknown>): LiveFlow => decodeUpdate(updateJson({ flows: [flowJson(over)] })).flows[0]!;
const table = (...flows: LiveFlow[]): ReadonlyMap<string, LiveFlow> => new Map(flows.map((f) => [f.key, f]));
const all: FlowQuery = { text: '', job: null, host: null, onlyMismatched: false };
const fastest: FlowSort = { column: 'rate', descending: true };
const keys = (rows: readonly LiveFlow[]): string => rows.map((f) => f.key).join('');

describe('mismatched', () => {
  it.each([['AF41', 'CS0', true], ['AF41', 'AF41', false], ['AF41', undefined, false], [undefined, 'CS0', false]])('sent %s, arrived %s: %s', (sent, arrived, expected) => {
    expect(mismatched(flow({ dscpSent: sent, dscpArrived: arrived }))).toBe(expected);
  });
});

it.each([
  ['as planned', {}, null], ['with another mark', { dscpSent: 'AF31' }, 'AF41'], ['not reported by its sender', { dscpSent: undefined }, null], ['of signalling', { role: 'signal', dscpSent: 'CS5' }, null],
  ['of no job', { job: undefined, dscpSent: 'CS0' }, null], ['of a job that ended', { job: 'gone', dscpSent: 'CS0' }, null],
])('a flow %s', (_what, over, expected) => {
  const plan = decodeUpdate(updateJson({ jobs: [jobJson()] })).jobs[0]!.plan!;
  expect(plannedInstead(flow(over), new Map([['bert', plan]]))).toBe(expected);
});

describe('arrange', () => {
  const a = flow({ key: 'a', rateBitsPerSecond: 5 });
  const b = flow({ key: 'b', rateBitsPerSecond: 9, source: 'h1-0-0', job: 'resnet', dscpArrived: 'CS0' });
  const c = flow({ key: 'c', rateBitsPerSecond: 7, job: undefined, role: undefined, destination: 'h1-0-0', destinationPort: 22, protocol: 17 });

  it('sorts by rate, and back', () => {
    expect(keys(arrange(table(a, b, c), all, fastest, null))).toBe('bca');
    expect(keys(arrange(table(a, b, c), all, { column: 'rate', descending: false }, null))).toBe('acb');
  });

  it('puts flows without a job last', () => {
    expect(keys(arrange(table(c, b, a), all, { column: 'job', descending: false }, null))).toBe('abc');
  });

  it('orders equal rows the same way whatever the order of arrival', () => {
    const x = flow({ key: 'x', sourcePort: 10 });
    const y = flow({ key: 'y', sourcePort: 9 });
    expect(keys(arrange(table(x, y), all, fastest, null))).toBe('yx');
    expect(keys(arrange(table(y, x), all, fastest, null))).toBe('yx');
  });

  it.each<[string, Partial<FlowQuery>, string]>([
    ['a job', { job: 'resnet' }, 'b'],
    ['no job', { job: '' }, 'c'],
    ['a host at either end', { host: 'h1-0-0' }, 'bc'],
    ['marks lost', { onlyMismatched: true }, 'b'],
    ['a word', { text: 'RESNET' }, 'b'],
    ['two words that must both occur', { text: 'h0-0-0 h1-0-0' }, 'c'],
    ['an end with its port', { text: 'h1-0-0:22' }, 'c'],
    ['a DSCP', { text: 'cs0' }, 'b'],
    ['blanks', { text: '  ' }, 'bca'],
    ['what nobody has', { text: '<script>' }, ''],
  ])('selects by %s', (_what, query, expected) => {
    expect(keys(arrange(table(a, b, c), { ...all, ...query }, fastest, null))).toBe(expected);
  });

  it('holds an order: rows stay, new ones follow sorted, gone and filtered ones leave', () => {
    const faster = flow({ key: 'a', rateBitsPerSecond: 100 });
    const d = flow({ key: 'd', rateBitsPerSecond: 1 });
    const e = flow({ key: 'e', rateBitsPerSecond: 50 });
    expect(keys(arrange(table(faster, b, d, e), all, fastest, ['b', 'c', 'a']))).toBe('baed');
    expect(keys(arrange(table(faster, b, d, e), { ...all, job: 'bert' }, fastest, ['b', 'c', 'a']))).toBe('aed');
  });
});
