import { describe, expect, it } from 'vitest';
import { instant } from '../units.ts';
import { decodeUpdate } from './decode.ts';
import { agentJson, faultJson, flowJson, jobJson, linkJson, updateJson } from './samples.ts';
import { initialState, linkKey, reduce, staleSince, type LiveState } from './state.ts';

const filter = { job: null, host: null, maxFlows: 500 };
const start = instant(1_000);
const time = (second: number): string => new Date(Date.UTC(2026, 2, 1, 10, 0, second)).toISOString();
const update = (state: LiveState, json: Record<string, unknown>, at = 2_000): LiveState => reduce(state, { type: 'update', at: instant(at), update: decodeUpdate(updateJson(json)) });
const whole = (over: Record<string, unknown> = {}): Record<string, unknown> => ({
  time: time(0), whole: true, flows: [flowJson(), flowJson({ key: 'b' })], jobs: [jobJson()], agents: [agentJson()], links: [linkJson()], markingFaults: [faultJson()], warnings: ['w'], ...over,
});
const live = (over: Record<string, unknown> = {}): LiveState => update(initialState(start, filter), whole(over));

describe('reduce', () => {
  it('takes over a whole update and is live', () => {
    const state = live({ skipped: 2, flowsHidden: 4 });
    expect(state.connection).toEqual({ phase: 'live', since: 2_000 });
    expect([...state.flows.keys()]).toEqual(['a', 'b']);
    expect(state.jobs.get(1)?.spec.name).toBe('bert');
    expect(state.agents.get('h0-0-0')?.state).toBe('connected');
    expect(state.links.get(linkKey('h0-0-0', 'e0-0'))?.bitsPerSecond).toBe(5_000_000);
    expect(state).toMatchObject({ needsWhole: false, warnings: ['w'], skipped: 2, flowsHidden: 4 });
    expect(state.markingFaults).toHaveLength(1);
    expect(state.markingSuspects).toEqual([]);
  });

  it('forgets with a whole update all that it does not name', () => {
    const state = update(live(), { time: time(1), whole: true, flows: [flowJson({ key: 'c' })] });
    expect([...state.flows.keys()]).toEqual(['c']);
    expect(state.jobs.size + state.agents.size + state.links.size + state.markingFaults.length + state.warnings.length).toBe(0);
  });

  it('adds, changes and removes by a delta, and leaves the rest as it is', () => {
    const before = live();
    const state = update(before, { time: time(1), flows: [flowJson({ key: 'b', octets: 9 }), flowJson({ key: 'c' })], flowsGone: ['a', 'never-seen'] });
    expect([...state.flows.keys()]).toEqual(['b', 'c']);
    expect(state.flows.get('b')?.octets).toBe(9);
    expect(state.jobs).toBe(before.jobs);
    expect(state.agents).toBe(before.agents);
    expect(state.links).toBe(before.links);
    expect(state.markingFaults).toBe(before.markingFaults);
    expect(state.warnings).toBe(before.warnings);
  });

  it('keeps a flow that is gone and back in one update', () => {
    const state = update(live(), { time: time(1), flowsGone: ['a'], flows: [flowJson({ octets: 1 })] });
    expect(state.flows.get('a')?.octets).toBe(1);
  });

  it('does not change the state before', () => {
    const before = live();
    const keys = [...before.flows.keys()];
    update(before, { time: time(1), flowsGone: ['a', 'b'] });
    expect([...before.flows.keys()]).toEqual(keys);
  });

  it('empties faults and warnings when told so, and keeps them when told nothing', () => {
    const kept = update(live(), { time: time(1) });
    expect([kept.markingFaults.length, kept.warnings.length]).toEqual([1, 1]);
    const emptied = update(kept, { time: time(2), markingFaults: [], warnings: [] });
    expect([emptied.markingFaults.length, emptied.warnings.length]).toEqual([0, 0]);
  });

  it('ignores deltas before the first whole update', () => {
    const before = initialState(start, filter);
    expect(update(before, { flows: [flowJson()] })).toBe(before);
  });

  it('drops a delta older than the state and asks for the whole', () => {
    const before = update(live(), { time: time(5) });
    const state = update(before, { time: time(4), flowsGone: ['a'] });
    expect(state.needsWhole).toBe(true);
    expect(state.flows).toBe(before.flows);
    expect(update(state, { time: time(6), flowsGone: ['a'] })).toBe(state);
  });

  it('takes over a whole update whatever its time: a restarted controller may have another clock', () => {
    const state = update(update(live(), { time: time(5) }), { time: time(1), whole: true, flows: [] });
    expect(state).toMatchObject({ needsWhole: false, time: Date.parse(time(1)) });
    expect(state.flows.size).toBe(0);
  });

  it('sums what was skipped or unreadable since the last whole update', () => {
    const state = update(update(live(), { time: time(1), skipped: 2, flows: [{}] }), { time: time(2), skipped: 3 });
    expect(state).toMatchObject({ skipped: 5, skippedAt: 2_000, unreadable: 1 });
    expect(update(state, whole({ time: time(3) }))).toMatchObject({ skipped: 0, skippedAt: null, unreadable: 0 });
  });

  it('asks for the whole after an update that cannot be read', () => {
    expect(reduce(live(), { type: 'unreadable' })).toMatchObject({ unreadable: 1, needsWhole: true });
  });

  it('waits for the whole state after subscribing anew', () => {
    const subscribing = reduce(live(), { type: 'subscribing', filter: { ...filter, host: 'h0-0-0' } });
    expect(subscribing).toMatchObject({ filter: { host: 'h0-0-0' }, connection: { phase: 'live' }, needsWhole: true });
    expect(update(subscribing, { time: time(1), flowsGone: ['a'] })).toBe(subscribing);
  });

  it('keeps its data while the connection is lost, and says since when', () => {
    let state = live();
    expect(staleSince(state)).toBeNull();
    state = reduce(state, { type: 'lost', at: instant(5_000), retryAt: instant(5_500) });
    expect([staleSince(state), state.flows.size]).toEqual([5_000, 2]);
    state = reduce(state, { type: 'connecting', at: instant(5_500) });
    state = reduce(state, { type: 'lost', at: instant(6_000), retryAt: instant(7_000) });
    expect(staleSince(state)).toBe(5_000);
    state = update(reduce(state, { type: 'connecting', at: instant(7_000) }), whole({ time: time(9), flows: [] }), 7_100);
    expect([staleSince(state), state.connection, state.flows.size]).toEqual([null, { phase: 'live', since: 7_100 }, 0]);
  });

  it('has no stale data before the first connection', () => {
    expect(staleSince(reduce(initialState(start, filter), { type: 'lost', at: instant(5_000), retryAt: instant(6_000) }))).toBeNull();
  });

  it('samples rates once a second, with ticks and with updates, and only while live', () => {
    const state = reduce(reduce(live(), { type: 'tick', at: instant(2_100) }), { type: 'tick', at: instant(3_000) });
    expect(state.rates).toEqual([{ job: 'bert', samples: [{ at: 2_000, rate: 2_000_000, dscp: 'AF41' }, { at: 3_000, rate: 2_000_000, dscp: 'AF41' }] }]);
    const updated = update(state, { time: time(1), flowsGone: ['a'] }, 4_000);
    expect(updated.rates[0]!.samples.at(-1)).toEqual({ at: 4_000, rate: 1_000_000, dscp: 'AF41' });
    const lost = reduce(state, { type: 'lost', at: instant(3_500), retryAt: instant(4_000) });
    expect(reduce(lost, { type: 'tick', at: instant(4_000) })).toBe(lost);
  });
});
