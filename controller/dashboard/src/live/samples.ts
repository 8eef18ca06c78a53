// Records as the wire has them, for tests.

type Json = Record<string, unknown>;

export const flowJson = (over: Json = {}): Json => ({
  key: 'a', job: 'bert', role: 'push', source: 'h0-0-0', destination: 'h0-0-1', sourcePort: 40000, destinationPort: 7471, protocol: 6,
  rateBitsPerSecond: 1_000_000, octets: 5_000, dscpSent: 'AF41', dscpArrived: 'AF41', lastSeen: '2026-03-01T10:00:00+00:00', ...over,
});

export const jobJson = (over: Json = {}): Json => ({
  id: 1,
  spec: { name: 'bert', workers: ['h0-0-0', 'h0-0-1'], gradientBytes: 4_000_000, computeSeconds: 0, rounds: 100 },
  state: 'Placed', submittedAt: '2026-03-01T09:59:00Z',
  plan: {
    jobId: 1, treesRevision: { term: 1, generation: 3 }, strategy: 'rack', shards: [{ weight: 1, roots: ['h0-0-0'], edges: [{ child: 'h0-0-1', parent: 'h0-0-0' }] }],
    level: 1, dscp: 'AF41', levelReason: 'least left', treeReason: 'one rack', boundSeconds: 0.2, predictedSeconds: 0.25, bottleneck: 'h0-0-1->e0-0',
  },
  waitingFor: [], roundsDone: 41, workersJoined: 2, secondsPerRound: 0.5, socketBytesSent: 7, socketSegmentsSent: 1, troubles: [], ...over,
});

export const agentJson = (over: Json = {}): Json => ({
  host: 'h0-0-0', state: 'connected', lastSeen: '2026-03-01T10:00:00Z', version: '0.1.0', capabilities: ['capture'], limits: [],
  desired: { term: 1, generation: 3 }, acknowledged: { term: 1, generation: 3 }, hash: 'abc', kernelDrops: 0, lostRecords: 0, ...over,
});

export const linkJson = (over: Json = {}): Json => ({ source: 'h0-0-0', target: 'e0-0', bitsPerSecond: 5_000_000, rateBitsPerSecond: 20_000_000, estimated: false, ...over });

export const faultJson = (over: Json = {}): Json => ({
  source: 'h0-0-0', destination: 'h1-0-0', sent: 'AF41', arrived: 'CS0', octets: 2_000_000, since: '2026-03-01T09:59:30Z', lastSeen: '2026-03-01T10:00:00Z', ...over,
});

export const updateJson = (over: Json = {}): Json => ({
  time: '2026-03-01T10:00:00Z', whole: false, flows: [], flowsGone: [], flowsHidden: 0, jobs: [], agents: [], links: [], skipped: 0, ...over,
});
