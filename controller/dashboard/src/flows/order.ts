import { byName } from '../format.ts';
import type { JobPlan, LiveFlow } from '../live/records.ts';

export type FlowColumn = 'job' | 'role' | 'source' | 'destination' | 'rate' | 'sent' | 'arrived' | 'octets' | 'lastSeen';

export interface FlowSort {
  readonly column: FlowColumn;
  readonly descending: boolean;
}

/** What is to be shown; unset parts match everything. */
export interface FlowQuery {
  /** Words that must all occur in the row. */
  readonly text: string;
  /** A job's name; `''` means flows without a job; null means all. */
  readonly job: string | null;
  /** A host that sends or receives. */
  readonly host: string | null;
  /** Only flows whose mark did not arrive as sent. */
  readonly onlyMismatched: boolean;
}

/** Sent with one code point and arrived with another. Not while only one side has reported. */
export const mismatched = (flow: LiveFlow): boolean => flow.dscpSent !== null && flow.dscpArrived !== null && flow.dscpSent !== flow.dscpArrived;

/**
 * The code point that the plan wants and the sender did not use; null when it did, or when there is no plan to compare with.
 * True for a while after a change of level: connections change between rounds.
 */
export function plannedInstead(flow: LiveFlow, plans: ReadonlyMap<string, JobPlan>): string | null {
  // Signalling has a class of its own.
  const plan = flow.job === null || flow.role === 'signal' ? undefined : plans.get(flow.job);
  return plan === undefined || flow.dscpSent === null || flow.dscpSent === plan.dscp ? null : plan.dscp;
}

/** Whether the flow is to be shown. */
export function matches(flow: LiveFlow, query: FlowQuery): boolean {
  if (query.job !== null && (flow.job ?? '') !== query.job) {
    return false;
  }
  if (query.host !== null && flow.source !== query.host && flow.destination !== query.host) {
    return false;
  }
  if (query.onlyMismatched && !mismatched(flow)) {
    return false;
  }
  const words = query.text.toLowerCase().split(/\s+/).filter((w) => w !== '');
  if (words.length === 0) {
    return true;
  }
  const row = [
    flow.job ?? '', flow.role ?? '', `${flow.source}:${flow.sourcePort}`, `${flow.destination}:${flow.destinationPort}`, flow.dscpSent ?? '', flow.dscpArrived ?? '',
  ].join(' ').toLowerCase();
  return words.every((w) => row.includes(w));
}

type Compare = (a: LiveFlow, b: LiveFlow) => number;

const ends: Compare = (a, b) => byName(a.source, b.source) || a.sourcePort - b.sourcePort || byName(a.destination, b.destination) || a.destinationPort - b.destinationPort;

const columns: Readonly<Record<FlowColumn, Compare>> = {
  job: (a, b) => byName(a.job ?? '\uffff', b.job ?? '\uffff'),
  role: (a, b) => byName(a.role ?? '\uffff', b.role ?? '\uffff'),
  source: (a, b) => byName(a.source, b.source) || a.sourcePort - b.sourcePort,
  destination: (a, b) => byName(a.destination, b.destination) || a.destinationPort - b.destinationPort,
  rate: (a, b) => a.rateBitsPerSecond - b.rateBitsPerSecond,
  sent: (a, b) => byName(a.dscpSent ?? '\uffff', b.dscpSent ?? '\uffff'),
  arrived: (a, b) => byName(a.dscpArrived ?? '\uffff', b.dscpArrived ?? '\uffff'),
  octets: (a, b) => a.octets - b.octets,
  lastSeen: (a, b) => a.lastSeen - b.lastSeen,
};

/** A total order: equal rows stand by their ends and at last by their keys, so that they never swap from one update to the next. */
export function comparison(sort: FlowSort): Compare {
  const column = columns[sort.column];
  const sign = sort.descending ? -1 : 1;
  return (a, b) => sign * column(a, b) || ends(a, b) || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
}

/**
 * The rows to show, in order.
 * @param held Keys in an order to keep: those rows stay where they are, and new ones follow below. Null sorts all anew.
 */
export function arrange(flows: ReadonlyMap<string, LiveFlow>, query: FlowQuery, sort: FlowSort, held: readonly string[] | null): readonly LiveFlow[] {
  const rows: LiveFlow[] = [];
  const placed = new Set<string>();
  for (const key of held ?? []) {
    const flow = flows.get(key);
    if (flow !== undefined && matches(flow, query)) {
      rows.push(flow);
      placed.add(key);
    }
  }
  const rest = [...flows.values()].filter((f) => !placed.has(f.key) && matches(f, query)).sort(comparison(sort));
  return [...rows, ...rest];
}
