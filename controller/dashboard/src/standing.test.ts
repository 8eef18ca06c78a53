import { describe, expect, it } from 'vitest';
import { agentClass } from './agents/AgentSign.tsx';
import { agentState, byNeed, formatVersion, hasTrouble, isBehind } from './agents/standing.ts';
import { byLevel, isRunning, progress, roundsFinished, standing, timeLeft } from './jobs/standing.ts';
import { sentence, sightLine } from './jobs/sight.ts';
import { decodeUpdate } from './live/decode.ts';
import type { AgentView, JobView } from './live/records.ts';
import { agentJson, jobJson, updateJson } from './live/samples.ts';

const job = (over: Record<string, unknown> = {}): JobView => decodeUpdate(updateJson({ jobs: [jobJson(over)] })).jobs[0]!;
const agent = (over: Record<string, unknown> = {}): AgentView => decodeUpdate(updateJson({ agents: [agentJson(over)] })).agents[0]!;
const spec = (name: string, rounds = 100): Record<string, unknown> => ({ name, workers: ['h'], rounds });

describe('a job', () => {
  it.each([
    [{ state: 'Pending' }, 'Pending', 'wait'], [{ workersJoined: 0 }, 'Placed', 'wait'], [{}, 'Training', 'good'], [{ troubles: ['x'] }, 'Training', 'poor'],
    [{ state: 'Finished' }, 'Finished', 'ended'], [{ state: 'Cancelled' }, 'Cancelled', 'ended'],
  ])('with %j is %s', (over, word, tone) => expect(standing(job(over))).toEqual({ word, tone }));

  it('tells how its rounds go once an agent has told', () => {
    expect(job().sight).toBeNull();
    const sight = job({ sight: { round: 811, bytesReceived: 1, bytesSent: 3_000_000, bufferBytes: 2_000, roundsRedone: 2, gatherSeconds: 1.5, deliverSeconds: 0.5, slowest: 'h7', slowestShare: 0.9, waitsFor: 'round 812 waits for h7 (the contribution of rank 7)' } }).sight!;
    expect(sightLine(sight)).toMatch(/^round 811: .* to gather, .* to deliver · .* sent between agents · .* held at most · slowest h7, 90.?% of its parent's wait · 2 rounds tried again$/u);
    expect(sentence(sight.waitsFor!)).toBe('Round 812 waits for h7 (the contribution of rank 7)');
    expect(sightLine(job({ sight: {} }).sight!)).not.toMatch(/round|slowest/u);
  });

  it('counts rounds from the last finished one, which is -1 before the first', () => {
    expect([-1, 0, 99].map((roundsDone) => [roundsFinished(job({ roundsDone })), progress(job({ roundsDone }))])).toEqual([[0, 0], [1, 0.01], [100, 1]]);
  });

  it('has no progress and no end in sight when its rounds are not known', () => {
    const endless = job({ spec: spec('x', 0) });
    expect([progress(endless), timeLeft(endless)]).toEqual([null, null]);
  });

  it('tells the time left by its pace', () => {
    expect(timeLeft(job())).toBe('29\u00a0s');
    expect([timeLeft(job({ secondsPerRound: 0 })), timeLeft(job({ roundsDone: 99 })), timeLeft(job({ state: 'Finished' }))]).toEqual([null, null, null]);
  });

  it('stands by level, unmarked last, then by name', () => {
    const plan = jobJson()['plan'] as object;
    const jobs = [
      job({ id: 1, spec: spec('d'), plan: { ...plan, level: 0 } }), job({ id: 2, spec: spec('c'), plan: { ...plan, level: 2 } }), job({ id: 3, spec: spec('b') }),
      job({ id: 4, spec: spec('a') }), job({ id: 5, spec: spec('e'), plan: undefined }),
    ];
    expect(jobs.sort(byLevel).map((j) => j.spec.name).join('')).toBe('abcde');
    expect(jobs.every(isRunning)).toBe(true);
  });
});

describe('an agent', () => {
  const behind = { acknowledged: { term: 1, generation: 2 } };
  it.each([
    [{}, 'connected', 'connected', false], [behind, 'applying', 'behind', false], [{ state: 'silent' }, 'silent', 'silent', true], [{ state: 'never', ...behind }, 'never seen', 'never', true],
    [{ error: 'nft', ...behind }, 'refused its policy', 'refused', true], [{ kernelDrops: 1 }, 'connected', 'connected', true], [{ lostRecords: 1 }, 'connected', 'connected', true],
    [{ troubles: ['x'] }, 'connected', 'connected', true],
  ])('with %j is %s', (over, words, shape, trouble) => {
    expect([agentState(agent(over)), agentClass(agent(over)), hasTrouble(agent(over))]).toEqual([words, shape, trouble]);
  });

  it.each([['0.1.0', '0.1.0'], ['0.1.0+5a1bff5c0b79b6d1', '0.1.0+5a1bff5'], ['1.0.0-rc.1+local', '1.0.0-rc.1+local']])('of version %s is %s', (version, short) => expect(formatVersion(version)).toBe(short));

  it('is behind by generation within a term, and by term before that', () => {
    expect(isBehind(agent({ acknowledged: { term: 0, generation: 9 } }))).toBe(true);
    expect(isBehind(agent({ acknowledged: { term: 2, generation: 0 } }))).toBe(false);
  });

  it('stands first when it needs a look', () => {
    const agents = [agent({ host: 'h3' }), agent({ host: 'h2', ...behind }), agent({ host: 'h10', state: 'silent' }), agent({ host: 'h9', error: 'x' })];
    expect(agents.sort(byNeed).map((a) => a.host)).toEqual(['h9', 'h10', 'h2', 'h3']);
  });
});
