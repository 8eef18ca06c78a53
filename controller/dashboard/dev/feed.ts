import { ladder } from '../src/dscp.ts';

// Invented traffic in the form of the wire: what the page looks like in states that are hard to bring about in a real fabric.

export interface Script {
  /** Ports of a switch of the fat-tree; 0 draws a leaf-spine fabric. */
  readonly k: number;
  readonly pods: number;
  readonly hostsPerRack: number;
  readonly jobs: number;
  /** Flows besides the jobs' own. */
  readonly extraFlows: number;
  readonly faults: number;
  /** Some agents are silent, behind or complain. */
  readonly trouble: boolean;
}

type Json = Record<string, unknown>;

/** Repeatable, so that two screenshots of one moment are the same. */
function random(seed: number): () => number {
  let s = seed;
  return () => {
    s = (s * 1664525 + 1013904223) % 4294967296;
    return s / 4294967296;
  };
}

export function fatTree({ k, pods, hostsPerRack }: Script): Json {
  const nodes: Json[] = [];
  const links: Json[] = [];
  const half = Math.max(1, k / 2);
  const link = (source: string, target: string, rate: number): void => void links.push({ source, target, rateBitsPerSecond: rate });
  if (k === 0) {
    for (let s = 0; s < 3; s++) {
      nodes.push({ id: `spine${s}`, kind: 'switch' });
    }
    for (let l = 0; l < 5; l++) {
      nodes.push({ id: `leaf${l}`, kind: 'switch' });
      for (let s = 0; s < 3; s++) {
        link(`leaf${l}`, `spine${s}`, 40e9);
      }
      for (let h = 0; h < hostsPerRack; h++) {
        nodes.push({ id: `n${l}-${h}`, kind: 'host', address: `10.0.${l}.${h + 1}` });
        link(`n${l}-${h}`, `leaf${l}`, 25e9);
      }
    }
    return { directed: false, multigraph: false, graph: { name: 'leaf-spine' }, nodes, links };
  }
  for (let c = 0; c < half * half; c++) {
    nodes.push({ id: `c${c}`, kind: 'switch', tier: 'core' });
  }
  for (let p = 0; p < pods; p++) {
    for (let a = 0; a < half; a++) {
      nodes.push({ id: `a${p}-${a}`, kind: 'switch', pod: `p${p}`, tier: 'aggregation' });
      for (let c = 0; c < half; c++) {
        link(`a${p}-${a}`, `c${a * half + c}`, 10e6);
      }
    }
    for (let e = 0; e < half; e++) {
      nodes.push({ id: `e${p}-${e}`, kind: 'switch', pod: `p${p}`, rack: `e${p}-${e}`, tier: 'edge' });
      for (let a = 0; a < half; a++) {
        link(`e${p}-${e}`, `a${p}-${a}`, 10e6);
      }
      for (let j = 0; j < hostsPerRack; j++) {
        const id = `h${p}-${e}-${j}`;
        nodes.push({ id, kind: 'host', pod: `p${p}`, rack: `e${p}-${e}`, address: `10.${p}.${e}.${2 + 4 * j}` });
        link(id, `e${p}-${e}`, 20e6);
      }
    }
  }
  return { directed: false, multigraph: false, graph: { name: `fat-tree k=${k}` }, nodes, links };
}

const jobNames = ['mnist-large', 'mnist-small', 'bert-a', 'resnet-b', 'gpt-nano', 'vit-c', 'llama-d', 'unet-e'];

/** The state at a step, as a whole update. */
export function wholeAt(script: Script, topology: Json, stepNumber: number, at: number): Json {
  const nodes = topology['nodes'] as Json[];
  const hosts = nodes.filter((n) => n['kind'] === 'host').map((n) => n['id'] as string);
  const links = topology['links'] as Json[];
  const flows: Json[] = [];
  const jobs: Json[] = [];
  const load = new Map<string, number>();
  const time = new Date(at).toISOString();
  const rack = (h: string): string => (nodes.find((n) => n['id'] === h)?.['rack'] as string | undefined) ?? h.split('-')[0]!;
  for (let j = 0; j < script.jobs; j++) {
    const name = j < jobNames.length ? jobNames[j]! : `job-${j}`;
    const level = (j % 5) + 1;
    const dscp = ladder[level]!.dscp;
    const rounds = 240 + 160 * (j % 4);
    const done = Math.floor(stepNumber * (2.2 - 0.3 * (j % 4))) % (rounds + 1);
    const members = hosts.filter((_, i) => script.jobs <= 3 || i % script.jobs === j || i % 3 === j % 3);
    jobs.push({
      id: j + 1,
      spec: { name, workers: members, gradientBytes: 1_260_000 * (j + 1), computeSeconds: 0.05, rounds },
      state: script.trouble && j === script.jobs - 1 ? 'Pending' : 'Placed',
      submittedAt: new Date(at - stepNumber * 1000 - 60_000).toISOString(),
      plan: {
        jobId: j + 1, treesRevision: { term: 1, generation: 4 + j }, strategy: 'rack', shards: members.map(() => ({ weight: 1, roots: [], edges: [] })), level, dscp,
        levelReason: j === 0 ? 'level 1: 41 s of communication left, the least of all jobs' : `level ${level}: ${41 + 37 * j} s of communication left; behind ${jobNames[0]} on link e0-0->a0-0`,
        treeReason: `16 shards; a rack's contributions are summed in the rack, roots rotate over ${members.length} hosts; 4.1 times fewer bytes on links between racks than direct`,
        boundSeconds: 0.31 * (j + 1), predictedSeconds: 0.36 * (j + 1), bottleneck: 'e0-0->a0-0',
      },
      waitingFor: script.trouble && j === script.jobs - 1 ? hosts.slice(0, 3) : [],
      roundsDone: done - 1, workersJoined: members.length, secondsPerRound: 0.42 + 0.13 * j, socketBytesSent: stepNumber * 3_100_000, socketSegmentsSent: 1,
      sight: {
        round: done - 1, bytesReceived: stepNumber * 3_000_000, bytesSent: stepNumber * 3_000_000, bufferBytes: 2_100_000, roundsRedone: j, gatherSeconds: 0.2 + 0.1 * j, deliverSeconds: 0.15,
        slowest: j === 1 ? hosts[3] : null, slowestShare: j === 1 ? 0.93 : 0, waitsFor: script.trouble && j === 1 ? `round ${done} waits for ${hosts[3]} (the contribution of rank 3)` : null,
      },
      troubles: script.trouble && j === 1 ? [`${name}: worker 3 on ${hosts[3]} has not contributed to round ${done} for 14 s`] : [],
    });
    const r = random(1000 * (j + 1) + stepNumber);
    const busy = 0.55 + 0.45 * Math.sin(stepNumber / 7 + j * 2);
    members.forEach((h, i) => {
      const next = members[(i + 1 + j) % members.length]!;
      for (const [role, from, to, share] of [['push', h, next, 1], ['signal', h, members[0]!, 0.002]] as const) {
        if (from === to) {
          continue;
        }
        const rate = 2.4e6 * busy * share * (0.6 + 0.8 * r());
        const dscpOf = role === 'signal' ? 'CS5' : dscp;
        const bleached = script.faults > 0 && j === 0 && i < script.faults && role === 'push';
        flows.push({
          key: `${name}|${role}|${from}|${to}`, job: name, role, source: from, destination: to, sourcePort: 40_000 + i * 7 + j, destinationPort: 7471, protocol: 6,
          rateBitsPerSecond: rate, octets: Math.round((rate / 8) * (stepNumber + 30)), dscpSent: dscpOf, ...(i === 5 && stepNumber % 9 === 0 ? {} : { dscpArrived: bleached ? 'CS0' : dscpOf }),
          lastSeen: time,
        });
        for (const [a, b] of [[from, rack(from)], [rack(to), to]] as const) {
          load.set(`${a}>${b}`, (load.get(`${a}>${b}`) ?? 0) + rate);
        }
      }
    });
  }
  const r = random(7 + stepNumber);
  for (let x = 0; x < script.extraFlows; x++) {
    const from = hosts[x % hosts.length]!;
    const to = hosts[(x * 7 + 3) % hosts.length]!;
    flows.push({
      key: `x${x}`, source: from, destination: to, sourcePort: 30_000 + x, destinationPort: x % 3 === 0 ? 443 : 22, protocol: x % 9 === 0 ? 17 : 6,
      rateBitsPerSecond: 4e4 * r(), octets: 5000 * (stepNumber + x), dscpSent: 'CS0', dscpArrived: 'CS0', lastSeen: new Date(at - 1000 * (x % 40)).toISOString(),
    });
  }
  const loads: Json[] = [];
  const wave = random(99);
  for (const l of links) {
    for (const [source, target] of [[l['source'], l['target']], [l['target'], l['source']]] as const) {
      const capacity = l['rateBitsPerSecond'] as number;
      const host = hosts.includes(source as string) || hosts.includes(target as string);
      const phase = wave();
      const share = Math.min(0.99, Math.max(0, 0.5 + 0.6 * Math.sin(stepNumber / 5 + 6 * phase) * phase));
      const rate = host && script.k > 0 ? Math.min(capacity, load.get(`${source as string}>${target as string}`) ?? 0) : capacity * share * Math.min(1, script.jobs);
      loads.push({ source, target, bitsPerSecond: rate, rateBitsPerSecond: capacity, estimated: !host });
    }
  }
  const agents = hosts.map((host, i) => {
    const odd = script.trouble ? i % 16 : -1;
    return {
      host, state: odd === 3 ? 'silent' : odd === 9 ? 'never' : 'connected', ...(odd === 9 ? {} : { lastSeen: new Date(at - (odd === 3 ? 47_000 : 300)).toISOString(), version: '0.1.0', hash: '9f86d081884c7d659a2feaa0c55ad015' }),
      capabilities: ['capture', 'mark', 'aggregate'], limits: odd === 6 ? ['No capture: the agent lacks CAP_NET_RAW.'] : [],
      desired: { term: 1, generation: 7 }, acknowledged: { term: 1, generation: odd === 9 ? 0 : odd === 12 || odd === 11 ? 6 : 7 },
      ...(odd === 11 ? { error: 'nft refused the ruleset: table inet mlnet is owned by another process.' } : {}), kernelDrops: odd === 7 ? 1204 : 0, lostRecords: 0,
    };
  });
  return {
    time, whole: true, flows, flowsGone: [], flowsHidden: 0, jobs, agents, links: loads, skipped: 0,
    markingFaults: Array.from({ length: script.faults }, (_, i) => ({
      source: hosts[i % hosts.length], destination: hosts[(i + 9) % hosts.length], sent: 'AF41', arrived: 'CS0', octets: 12_400_000 - i * 800_000, since: new Date(at - 95_000).toISOString(), lastSeen: time,
    })),
    warnings: script.trouble ? ['No database is configured: history is not kept, and jobs are lost when the controller stops.'] : [],
  };
}
