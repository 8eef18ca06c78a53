import type { BitsPerSecond, Bytes, Instant } from '../units.ts';

// The records of the live hub and of the topology as this page uses them. Fields keep the names of the wire;
// what the wire may leave out is null here, times are instants, and a DSCP is always its name.

export type JobState = 'Pending' | 'Placed' | 'Finished' | 'Cancelled';

export interface Revision {
  readonly term: number;
  readonly generation: number;
}

export interface LiveFlow {
  readonly key: string;
  readonly job: string | null;
  readonly role: string | null;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: number;
  readonly rateBitsPerSecond: BitsPerSecond;
  readonly octets: Bytes;
  readonly dscpSent: string | null;
  readonly dscpArrived: string | null;
  readonly lastSeen: Instant;
}

export interface JobSpec {
  readonly name: string;
  readonly workers: readonly string[];
  readonly helpers: readonly string[];
  readonly gradientBytes: Bytes;
  /** 0 when unknown. */
  readonly computeSeconds: number;
  /** 0 when unknown. */
  readonly rounds: number;
}

export interface JobPlan {
  readonly strategy: string;
  readonly treesRevision: Revision;
  readonly shards: number;
  /** 1 is the highest; 0 means unmarked. */
  readonly level: number;
  readonly dscp: string;
  readonly levelReason: string;
  readonly treeReason: string;
  /** 0 when unknown. */
  readonly boundSeconds: number;
  /** 0 when unknown. */
  readonly predictedSeconds: number;
  readonly bottleneck: string | null;
}

/** How the rounds of a job go, over all its hosts. */
export interface RoundSight {
  /** The newest that some host has finished, -1 before the first. */
  readonly round: number;
  readonly bytesReceived: Bytes;
  readonly bytesSent: Bytes;
  /** Held now by the host that holds the most. */
  readonly bufferBytes: Bytes;
  readonly roundsRedone: number;
  readonly gatherSeconds: number;
  readonly deliverSeconds: number;
  /** The host that others waited for in the last round; null when nobody stands out. */
  readonly slowest: string | null;
  /** 0 to 1. */
  readonly slowestShare: number;
  /** A round that has waited for a second, and for whom; null when none has. */
  readonly waitsFor: string | null;
}

export interface JobView {
  readonly id: number;
  readonly spec: JobSpec;
  readonly state: JobState;
  readonly submittedAt: Instant;
  readonly endedAt: Instant | null;
  readonly plan: JobPlan | null;
  readonly waitingFor: readonly string[];
  /** Highest round that every worker has finished, -1 before the first. */
  readonly roundsDone: number;
  readonly workersJoined: number;
  /** 0 when unknown. */
  readonly secondsPerRound: number;
  readonly socketBytesSent: Bytes;
  /** Null before an agent has told. */
  readonly sight: RoundSight | null;
  readonly troubles: readonly string[];
}

export type AgentState = 'connected' | 'silent' | 'never';

export interface AgentView {
  readonly host: string;
  readonly state: AgentState;
  readonly lastSeen: Instant | null;
  readonly version: string | null;
  readonly capabilities: readonly string[];
  readonly limits: readonly string[];
  readonly desired: Revision;
  readonly acknowledged: Revision;
  readonly hash: string | null;
  readonly error: string | null;
  readonly kernelDrops: number;
  readonly lostRecords: number;
  readonly troubles: readonly string[];
}

export interface LinkLoad {
  readonly source: string;
  readonly target: string;
  readonly bitsPerSecond: BitsPerSecond;
  readonly rateBitsPerSecond: BitsPerSecond;
  readonly estimated: boolean;
}

export interface MarkingFault {
  readonly source: string;
  readonly destination: string;
  readonly sent: string;
  readonly arrived: string;
  readonly octets: Bytes;
  readonly since: Instant;
  readonly lastSeen: Instant;
}

/** A switch that may change marks; those of one fault are alternatives. */
export interface MarkingSuspect {
  readonly switch: string;
  /** Only packets by the port to this neighbour; null: all that crosses the switch. */
  readonly neighbour: string | null;
  readonly fault: number;
  /** 0..1. */
  readonly confidence: number;
  readonly reason: string;
}

export interface LiveUpdate {
  readonly time: Instant;
  readonly whole: boolean;
  readonly flows: readonly LiveFlow[];
  readonly flowsGone: readonly string[];
  readonly flowsHidden: number;
  readonly jobs: readonly JobView[];
  readonly agents: readonly AgentView[];
  readonly links: readonly LinkLoad[];
  /** null: unchanged. */
  readonly markingFaults: readonly MarkingFault[] | null;
  /** null: unchanged. */
  readonly markingSuspects: readonly MarkingSuspect[] | null;
  readonly skipped: number;
  /** null: unchanged. */
  readonly warnings: readonly string[] | null;
  /** Records of this update that could not be read, and were left out. */
  readonly unreadable: number;
}

export interface LiveFilter {
  readonly job: string | null;
  readonly host: string | null;
  readonly maxFlows: number;
}

export interface TopologyNode {
  readonly id: string;
  readonly kind: 'host' | 'switch';
  readonly address: string | null;
  readonly rack: string | null;
  readonly pod: string | null;
  readonly tier: string | null;
}

export interface TopologyLink {
  readonly source: string;
  readonly target: string;
  readonly rateBitsPerSecond: BitsPerSecond;
}

export interface Topology {
  readonly name: string | null;
  readonly nodes: readonly TopologyNode[];
  readonly links: readonly TopologyLink[];
}
