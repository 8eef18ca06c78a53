import { describe, expect, it } from 'vitest';
import { decodeTopology, decodeUpdate, DecodeError } from './decode.ts';
import { agentJson, faultJson, flowJson, jobJson, linkJson, updateJson } from './samples.ts';

describe('decodeUpdate', () => {
  it('reads every record', () => {
    const update = decodeUpdate(updateJson({
      whole: true, flows: [flowJson()], flowsGone: ['x'], flowsHidden: 3, jobs: [jobJson()], agents: [agentJson()], links: [linkJson()], markingFaults: [faultJson()], skipped: 2,
      markingSuspects: [{ switch: 'a0-1', fault: 0, confidence: 0.92, reason: 'r', since: '2026-03-01T10:00:00Z' }, { switch: 'e0-0', neighbour: 'h0-0-0', fault: 1, confidence: 0.5, reason: 'r' }],
      warnings: ['No database.'],
    }));
    expect(update.unreadable).toBe(0);
    expect(update.time).toBe(Date.UTC(2026, 2, 1, 10));
    expect(update.flows[0]).toMatchObject({ key: 'a', dscpSent: 'AF41', lastSeen: Date.UTC(2026, 2, 1, 10) });
    expect(update.jobs[0]).toMatchObject({ id: 1, roundsDone: 41, plan: { level: 1, shards: 1, bottleneck: 'h0-0-1->e0-0' } });
    expect(update.agents[0]).toMatchObject({ host: 'h0-0-0', acknowledged: { term: 1, generation: 3 }, error: null });
    expect(update.links[0]).toMatchObject({ source: 'h0-0-0', target: 'e0-0', estimated: false });
    expect(update.markingFaults?.[0]).toMatchObject({ sent: 'AF41', arrived: 'CS0' });
    expect(update.markingSuspects).toEqual([
      { switch: 'a0-1', neighbour: null, fault: 0, confidence: 0.92, reason: 'r' }, { switch: 'e0-0', neighbour: 'h0-0-0', fault: 1, confidence: 0.5, reason: 'r' },
    ]);
    expect(update).toMatchObject({ flowsGone: ['x'], flowsHidden: 3, skipped: 2, warnings: ['No database.'] });
  });

  it('takes what the wire leaves out as unknown or unchanged', () => {
    const { job: _job, role: _role, dscpSent: _sent, dscpArrived: _arrived, ...bare } = flowJson();
    const { plan: _plan, ...ended } = jobJson({ state: 'Cancelled', endedAt: '2026-03-01T10:01:00Z' });
    const update = decodeUpdate({ time: '2026-03-01T10:00:00Z', whole: false, flows: [bare], jobs: [ended] });
    expect(update.unreadable).toBe(0);
    expect(update.flows[0]).toMatchObject({ job: null, role: null, dscpSent: null, dscpArrived: null });
    expect(update.jobs[0]).toMatchObject({ plan: null, state: 'Cancelled', endedAt: Date.UTC(2026, 2, 1, 10, 1) });
    expect(update).toMatchObject({ agents: [], links: [], flowsGone: [], markingFaults: null, markingSuspects: null, warnings: null, skipped: 0 });
  });

  it('ignores fields that it does not know', () => {
    const update = decodeUpdate(updateJson({ colour: 'red', flows: [flowJson({ jitterMs: 4 })], agents: [agentJson({ mood: { good: true } })] }));
    expect(update).toMatchObject({ unreadable: 0 });
    expect(update.flows).toHaveLength(1);
    expect(update.flows[0]).not.toHaveProperty('jitterMs');
  });

  it('reads a DSCP by name, by number and as a number in text', () => {
    const update = decodeUpdate(updateJson({ flows: [flowJson({ dscpSent: 34, dscpArrived: 'le' }), flowJson({ dscpSent: 5, dscpArrived: '34' })] }));
    expect(update.flows.map((f) => [f.dscpSent, f.dscpArrived])).toEqual([['AF41', 'LE'], ['5', 'AF41']]);
  });

  it.each([
    ['a DSCP that does not fit into six bits', { flows: [flowJson({ dscpSent: 64 }), flowJson()] }],
    ['a rate that is text', { flows: [flowJson({ rateBitsPerSecond: '7' }), flowJson()] }],
    ['a rate that is not finite', { flows: [flowJson({ rateBitsPerSecond: Number.NaN }), flowJson()] }],
    ['a time that is none', { flows: [flowJson({ lastSeen: 'yesterday' }), flowJson()] }],
    ['a null in a list', { flows: [null, flowJson()] }],
    ['a state that it does not know', { flows: [flowJson()], jobs: [jobJson({ state: 'Dreaming' })] }],
    ['a revision without a term', { flows: [flowJson()], agents: [agentJson({ desired: { generation: 1 } })] }],
  ])('leaves out and counts %s, and keeps the rest', (_what, parts) => {
    const update = decodeUpdate(updateJson(parts));
    expect(update.unreadable).toBe(1);
    expect(update.flows).toHaveLength(1);
    expect(update.jobs).toHaveLength(0);
    expect(update.agents).toHaveLength(0);
  });

  it.each([null, [], 7, 'x', {}, updateJson({ time: 5 }), updateJson({ whole: 'yes' }), updateJson({ flows: {} }), updateJson({ flowsGone: [1] })])('refuses %j as a whole', (value) => {
    expect(() => decodeUpdate(value)).toThrow(DecodeError);
  });
});

describe('decodeTopology', () => {
  it('reads node-link form', () => {
    const topology = decodeTopology({
      directed: false, multigraph: false, graph: { name: 'lab' }, nodes: [{ id: 'h', kind: 'host', address: '10.0.0.1' }, { id: 's', kind: 'switch', tier: 'edge' }],
      links: [{ source: 'h', target: 's', rateBitsPerSecond: 20_000_000, delay: 1 }],
    });
    expect(topology).toEqual({
      name: 'lab',
      nodes: [{ id: 'h', kind: 'host', address: '10.0.0.1', rack: null, pod: null, tier: null }, { id: 's', kind: 'switch', address: null, rack: null, pod: null, tier: 'edge' }],
      links: [{ source: 'h', target: 's', rateBitsPerSecond: 20_000_000 }],
    });
  });

  it.each([{ graph: { name: { de: 'Labor' } } }, { graph: {} }, {}])('takes %j for a fabric without a name', (graph) => {
    expect(decodeTopology({ ...graph, nodes: [], links: [] }).name).toBeNull();
  });

  it('refuses a node without a name', () => {
    expect(() => decodeTopology({ nodes: [{ kind: 'host' }], links: [] })).toThrow('node.id is not a string');
  });
});
