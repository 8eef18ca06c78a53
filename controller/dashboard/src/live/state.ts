import { sampleRates, type RateHistory } from '../rates/history.ts';
import { instant, type Instant } from '../units.ts';
import type { AgentView, JobView, LinkLoad, LiveFilter, LiveFlow, LiveUpdate, MarkingFault, MarkingSuspect } from './records.ts';

/** Where the page stands with the controller. Times are this browser's clock; `since` is when it last became live, or when it last ceased to be. */
export type Connection =
  | { readonly phase: 'live'; readonly since: Instant }
  /** Dialling, or connected and waiting for the whole state. */
  | { readonly phase: 'connecting'; readonly since: Instant }
  /** Waiting for the next attempt. */
  | { readonly phase: 'lost'; readonly since: Instant; readonly retryAt: Instant };

/** Everything the live hub has told. Immutable: a part that did not change keeps its identity. */
export interface LiveState {
  readonly connection: Connection;
  /** The controller's clock at the last update taken over; null before the first. */
  readonly time: Instant | null;
  /** The controller's clock less this browser's, milliseconds. */
  readonly clockOffset: number;
  /** What the controller was last asked for. */
  readonly filter: LiveFilter;
  /** True when an update was missed or came out of order: only a whole one helps, so the session subscribes again. */
  readonly needsWhole: boolean;
  readonly flows: ReadonlyMap<string, LiveFlow>;
  readonly flowsHidden: number;
  readonly jobs: ReadonlyMap<number, JobView>;
  readonly agents: ReadonlyMap<string, AgentView>;
  /** By `linkKey`. */
  readonly links: ReadonlyMap<string, LinkLoad>;
  readonly markingFaults: readonly MarkingFault[];
  readonly markingSuspects: readonly MarkingSuspect[];
  readonly warnings: readonly string[];
  /** Updates that this page was too slow to take since it subscribed, and when it was last told of some, this browser's clock. */
  readonly skipped: number;
  readonly skippedAt: Instant | null;
  /** Records that could not be read since it subscribed. */
  readonly unreadable: number;
  readonly rates: RateHistory;
  /** When `rates` was last added to, this browser's clock; null before the first time. */
  readonly sampledAt: Instant | null;
}

export type LiveAction =
  | { readonly type: 'connecting'; readonly at: Instant }
  /** A whole update with this filter is being asked for. */
  | { readonly type: 'subscribing'; readonly filter: LiveFilter }
  | { readonly type: 'update'; readonly at: Instant; readonly update: LiveUpdate }
  /** An update that could not be read at all. */
  | { readonly type: 'unreadable' }
  | { readonly type: 'lost'; readonly at: Instant; readonly retryAt: Instant }
  /** Each second. */
  | { readonly type: 'tick'; readonly at: Instant };

/** Time between two samples of the rates, milliseconds; a little under a second, so that a timer's jitter leaves none out. */
const sampleMs = 900;

/** Key of one direction of a link in `LiveState.links`. A node's name holds no line break. */
export const linkKey = (source: string, target: string): string => `${source}\n${target}`;

/** The state before the first connection. */
export function initialState(at: Instant, filter: LiveFilter): LiveState {
  return {
    connection: { phase: 'connecting', since: at },
    time: null,
    clockOffset: 0,
    filter,
    needsWhole: true,
    flows: new Map(),
    flowsHidden: 0,
    jobs: new Map(),
    agents: new Map(),
    links: new Map(),
    markingFaults: [],
    markingSuspects: [],
    warnings: [],
    skipped: 0,
    skippedAt: null,
    unreadable: 0,
    rates: [],
    sampledAt: null,
  };
}

/** The next state. Pure: the same state and action give the same result, and neither is changed. */
export function reduce(state: LiveState, action: LiveAction): LiveState {
  switch (action.type) {
    case 'connecting':
      return { ...state, connection: { phase: 'connecting', since: downSince(state, action.at) } };
    case 'subscribing':
      return { ...state, filter: action.filter, needsWhole: true };
    case 'update':
      return sampled(takeOver(state, action.update, action.at), action.at);
    case 'unreadable':
      // What it would have said is unknown, so what is shown can no longer be trusted to be complete.
      return { ...state, unreadable: state.unreadable + 1, needsWhole: true };
    case 'lost':
      return { ...state, connection: { phase: 'lost', since: downSince(state, action.at), retryAt: action.retryAt }, needsWhole: true };
    case 'tick':
      return sampled(state, action.at);
  }
}

/**
 * Adds a sample of the rates once a second: with ticks, as updates come only when something changes, and with updates, as browsers hold back
 * the clocks of hidden pages. None while the data is stale: the chart shows a gap, not a flat line.
 */
function sampled(state: LiveState, at: Instant): LiveState {
  if (state.connection.phase !== 'live' || state.needsWhole || (state.sampledAt !== null && at >= state.sampledAt && at - state.sampledAt < sampleMs)) {
    return state;
  }
  return { ...state, rates: sampleRates(state, at), sampledAt: at };
}

/** A further failure does not make the data any younger. */
const downSince = (state: LiveState, at: Instant): Instant => (state.connection.phase === 'live' ? at : state.connection.since);

/** Since when the data shown is not renewed, this browser's clock; null while it is live or there is none yet. */
export const staleSince = (state: LiveState): Instant | null => (state.connection.phase === 'live' || state.time === null ? null : state.connection.since);

function takeOver(state: LiveState, update: LiveUpdate, at: Instant): LiveState {
  if (update.whole) {
    return {
      connection: state.connection.phase === 'live' ? state.connection : { phase: 'live', since: at },
      time: update.time,
      clockOffset: update.time - at,
      filter: state.filter,
      needsWhole: false,
      flows: new Map(update.flows.map((f) => [f.key, f])),
      flowsHidden: update.flowsHidden,
      jobs: new Map(update.jobs.map((j) => [j.id, j])),
      agents: new Map(update.agents.map((a) => [a.host, a])),
      links: new Map(update.links.map((l) => [linkKey(l.source, l.target), l])),
      markingFaults: update.markingFaults ?? [],
      markingSuspects: update.markingSuspects ?? [],
      warnings: update.warnings ?? [],
      skipped: update.skipped,
      skippedAt: update.skipped > 0 ? at : null,
      unreadable: update.unreadable,
      rates: state.rates,
      sampledAt: state.sampledAt,
    };
  }

  if (state.needsWhole) {
    // Of a former subscription, or after a gap: there is nothing sound to apply it to.
    return state;
  }
  if (state.time !== null && update.time < state.time) {
    return { ...state, needsWhole: true };
  }

  return {
    ...state,
    time: update.time,
    clockOffset: update.time - at,
    flows: patched(state.flows, update.flows, (f) => f.key, update.flowsGone),
    flowsHidden: update.flowsHidden,
    jobs: patched(state.jobs, update.jobs, (j) => j.id),
    agents: patched(state.agents, update.agents, (a) => a.host),
    links: patched(state.links, update.links, (l) => linkKey(l.source, l.target)),
    markingFaults: update.markingFaults ?? state.markingFaults,
    markingSuspects: update.markingSuspects ?? state.markingSuspects,
    warnings: update.warnings ?? state.warnings,
    skipped: state.skipped + update.skipped,
    skippedAt: update.skipped > 0 ? at : state.skippedAt,
    unreadable: state.unreadable + update.unreadable,
  };
}

/** The map with the items set and the keys removed; the same map when there is nothing to do. A key that is both gone and set is set: it came back. */
function patched<K, V>(map: ReadonlyMap<K, V>, items: readonly V[], keyOf: (item: V) => K, gone: readonly K[] = []): ReadonlyMap<K, V> {
  if (items.length === 0 && !gone.some((k) => map.has(k))) {
    return map;
  }
  const next = new Map(map);
  for (const key of gone) {
    next.delete(key);
  }
  for (const item of items) {
    next.set(keyOf(item), item);
  }
  return next;
}

/** The controller's clock now, from this browser's. */
export const controllerNow = (state: LiveState, at: Instant): Instant => instant(at + state.clockOffset);
