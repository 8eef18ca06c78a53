import { dscpName } from '../dscp.ts';
import { bitsPerSecond, bytes, instant, type Instant } from '../units.ts';
import type {
  AgentState, AgentView, JobPlan, JobSpec, JobState, JobView, LinkLoad, LiveFlow, LiveUpdate, MarkingFault, MarkingSuspect, Revision, RoundSight, Topology, TopologyLink, TopologyNode,
} from './records.ts';

/** A value from the controller that is not what the contract says. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

/** Reads fields of one JSON object. Unknown fields are ignored, so that a newer controller can still be watched. */
class Fields {
  private readonly object: Readonly<Record<string, unknown>>;
  private readonly what: string;

  constructor(value: unknown, what: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new DecodeError(`${what} is not an object`);
    }
    this.object = value as Record<string, unknown>;
    this.what = what;
  }

  has(name: string): boolean {
    return this.object[name] !== undefined && this.object[name] !== null;
  }

  raw(name: string): unknown {
    return this.object[name];
  }

  text(name: string): string {
    const value = this.object[name];
    return typeof value === 'string' ? value : this.fail(name, 'a string');
  }

  optionalText(name: string): string | null {
    return this.has(name) ? this.text(name) : null;
  }

  number(name: string): number {
    const value = this.object[name];
    return typeof value === 'number' && Number.isFinite(value) ? value : this.fail(name, 'a finite number');
  }

  numberOr(name: string, fallback: number): number {
    return this.has(name) ? this.number(name) : fallback;
  }

  flag(name: string): boolean {
    const value = this.object[name];
    return typeof value === 'boolean' ? value : this.fail(name, 'true or false');
  }

  time(name: string): Instant {
    const value = Date.parse(this.text(name));
    return Number.isNaN(value) ? this.fail(name, 'a time') : instant(value);
  }

  optionalTime(name: string): Instant | null {
    return this.has(name) ? this.time(name) : null;
  }

  dscp(name: string): string {
    return dscpName(this.object[name]) ?? this.fail(name, 'a DSCP');
  }

  optionalDscp(name: string): string | null {
    return this.has(name) ? this.dscp(name) : null;
  }

  texts(name: string): readonly string[] {
    if (!this.has(name)) {
      return [];
    }
    const value = this.object[name];
    return Array.isArray(value) && value.every((v) => typeof v === 'string') ? value : this.fail(name, 'a list of strings');
  }

  list(name: string): readonly unknown[] {
    if (!this.has(name)) {
      return [];
    }
    const value = this.object[name];
    return Array.isArray(value) ? value : this.fail(name, 'a list');
  }

  oneOf<T extends string>(name: string, values: readonly T[]): T {
    const value = this.object[name];
    return values.find((v) => v === value) ?? this.fail(name, `one of ${values.join(', ')}`);
  }

  private fail(name: string, expected: string): never {
    throw new DecodeError(`${this.what}.${name} is not ${expected}`);
  }
}

function revision(value: unknown, what: string): Revision {
  const f = new Fields(value, what);
  return { term: f.number('term'), generation: f.number('generation') };
}

function flow(value: unknown): LiveFlow {
  const f = new Fields(value, 'flow');
  return {
    key: f.text('key'),
    job: f.optionalText('job'),
    role: f.optionalText('role'),
    source: f.text('source'),
    destination: f.text('destination'),
    sourcePort: f.number('sourcePort'),
    destinationPort: f.number('destinationPort'),
    protocol: f.number('protocol'),
    rateBitsPerSecond: bitsPerSecond(f.number('rateBitsPerSecond')),
    octets: bytes(f.number('octets')),
    dscpSent: f.optionalDscp('dscpSent'),
    dscpArrived: f.optionalDscp('dscpArrived'),
    lastSeen: f.time('lastSeen'),
  };
}

function spec(value: unknown): JobSpec {
  const f = new Fields(value, 'job.spec');
  return {
    name: f.text('name'),
    workers: f.texts('workers'),
    helpers: f.texts('helpers'),
    gradientBytes: bytes(f.numberOr('gradientBytes', 0)),
    computeSeconds: f.numberOr('computeSeconds', 0),
    rounds: f.numberOr('rounds', 0),
  };
}

function plan(value: unknown): JobPlan {
  const f = new Fields(value, 'job.plan');
  return {
    strategy: f.text('strategy'),
    treesRevision: revision(f.raw('treesRevision'), 'job.plan.treesRevision'),
    shards: f.list('shards').length,
    level: f.number('level'),
    dscp: f.dscp('dscp'),
    levelReason: f.text('levelReason'),
    treeReason: f.text('treeReason'),
    boundSeconds: f.numberOr('boundSeconds', 0),
    predictedSeconds: f.numberOr('predictedSeconds', 0),
    bottleneck: f.optionalText('bottleneck'),
  };
}

const jobStates: readonly JobState[] = ['Pending', 'Placed', 'Finished', 'Cancelled'];

function sight(value: unknown): RoundSight {
  const f = new Fields(value, 'sight');
  return {
    round: f.numberOr('round', -1),
    bytesReceived: bytes(f.numberOr('bytesReceived', 0)),
    bytesSent: bytes(f.numberOr('bytesSent', 0)),
    bufferBytes: bytes(f.numberOr('bufferBytes', 0)),
    roundsRedone: f.numberOr('roundsRedone', 0),
    gatherSeconds: f.numberOr('gatherSeconds', 0),
    deliverSeconds: f.numberOr('deliverSeconds', 0),
    slowest: f.optionalText('slowest'),
    slowestShare: f.numberOr('slowestShare', 0),
    waitsFor: f.optionalText('waitsFor'),
  };
}

function job(value: unknown): JobView {
  const f = new Fields(value, 'job');
  return {
    id: f.number('id'),
    spec: spec(f.raw('spec')),
    state: f.oneOf('state', jobStates),
    submittedAt: f.time('submittedAt'),
    endedAt: f.optionalTime('endedAt'),
    plan: f.has('plan') ? plan(f.raw('plan')) : null,
    waitingFor: f.texts('waitingFor'),
    roundsDone: f.numberOr('roundsDone', -1),
    workersJoined: f.numberOr('workersJoined', 0),
    secondsPerRound: f.numberOr('secondsPerRound', 0),
    socketBytesSent: bytes(f.numberOr('socketBytesSent', 0)),
    sight: f.has('sight') ? sight(f.raw('sight')) : null,
    troubles: f.texts('troubles'),
  };
}

const agentStates: readonly AgentState[] = ['connected', 'silent', 'never'];

function agent(value: unknown): AgentView {
  const f = new Fields(value, 'agent');
  return {
    host: f.text('host'),
    state: f.oneOf('state', agentStates),
    lastSeen: f.optionalTime('lastSeen'),
    version: f.optionalText('version'),
    capabilities: f.texts('capabilities'),
    limits: f.texts('limits'),
    desired: revision(f.raw('desired'), 'agent.desired'),
    acknowledged: revision(f.raw('acknowledged'), 'agent.acknowledged'),
    hash: f.optionalText('hash'),
    error: f.optionalText('error'),
    kernelDrops: f.numberOr('kernelDrops', 0),
    lostRecords: f.numberOr('lostRecords', 0),
    troubles: f.texts('troubles'),
  };
}

function link(value: unknown): LinkLoad {
  const f = new Fields(value, 'link');
  return {
    source: f.text('source'),
    target: f.text('target'),
    bitsPerSecond: bitsPerSecond(f.number('bitsPerSecond')),
    rateBitsPerSecond: bitsPerSecond(f.number('rateBitsPerSecond')),
    estimated: f.flag('estimated'),
  };
}

function fault(value: unknown): MarkingFault {
  const f = new Fields(value, 'markingFault');
  return {
    source: f.text('source'),
    destination: f.text('destination'),
    sent: f.dscp('sent'),
    arrived: f.dscp('arrived'),
    octets: bytes(f.number('octets')),
    since: f.time('since'),
    lastSeen: f.time('lastSeen'),
  };
}

function suspect(value: unknown): MarkingSuspect {
  const f = new Fields(value, 'markingSuspect');
  return {
    switch: f.text('switch'),
    neighbour: f.optionalText('neighbour'),
    fault: f.number('fault'),
    confidence: f.number('confidence'),
    reason: f.text('reason'),
  };
}

/**
 * Reads an update of the live hub. A record that cannot be read is left out and counted, so that one odd record does not hide all others.
 * @throws DecodeError when the update itself cannot be read.
 */
export function decodeUpdate(value: unknown): LiveUpdate {
  const f = new Fields(value, 'update');
  let unreadable = 0;
  const each = <T>(items: readonly unknown[], decode: (item: unknown) => T): T[] => {
    const result: T[] = [];
    for (const item of items) {
      try {
        result.push(decode(item));
      } catch (error) {
        if (!(error instanceof DecodeError)) {
          throw error;
        }
        unreadable++;
      }
    }
    return result;
  };
  const update = {
    time: f.time('time'),
    whole: f.flag('whole'),
    flows: each(f.list('flows'), flow),
    flowsGone: f.texts('flowsGone'),
    flowsHidden: f.numberOr('flowsHidden', 0),
    jobs: each(f.list('jobs'), job),
    agents: each(f.list('agents'), agent),
    links: each(f.list('links'), link),
    markingFaults: f.has('markingFaults') ? each(f.list('markingFaults'), fault) : null,
    markingSuspects: f.has('markingSuspects') ? each(f.list('markingSuspects'), suspect) : null,
    skipped: f.numberOr('skipped', 0),
    warnings: f.has('warnings') ? f.texts('warnings') : null,
  };
  return { ...update, unreadable };
}

function node(value: unknown): TopologyNode {
  const f = new Fields(value, 'node');
  return {
    id: f.text('id'),
    kind: f.oneOf('kind', ['host', 'switch'] as const),
    address: f.optionalText('address'),
    rack: f.optionalText('rack'),
    pod: f.optionalText('pod'),
    tier: f.optionalText('tier'),
  };
}

function topologyLink(value: unknown): TopologyLink {
  const f = new Fields(value, 'link');
  return { source: f.text('source'), target: f.text('target'), rateBitsPerSecond: bitsPerSecond(f.number('rateBitsPerSecond')) };
}

/**
 * Reads the answer of `GET /api/v1/topology`.
 * @throws DecodeError when it is no topology.
 */
export function decodeTopology(value: unknown): Topology {
  const f = new Fields(value, 'topology');
  // Free attributes: a name that is no text is none for us.
  const name = f.has('graph') ? new Fields(f.raw('graph'), 'topology.graph').raw('name') : null;
  return {
    name: typeof name === 'string' ? name : null,
    nodes: f.list('nodes').map(node),
    links: f.list('links').map(topologyLink),
  };
}
