import { describe, expect, it } from 'vitest';
import { decodeUpdate } from '../live/decode.ts';
import { flowJson, jobJson, updateJson } from '../live/samples.ts';
import { bitsPerSecond, instant } from '../units.ts';
import { historyMs, sampleRates, type RateHistory } from './history.ts';
import { sampleAt, stretches } from './lines.ts';
import { niceTicks, spread } from './scale.ts';

const filter = { job: null, host: null, maxFlows: 500 };

function state(flows: Record<string, unknown>[], jobs: Record<string, unknown>[], rates: RateHistory = []) {
  const update = decodeUpdate(updateJson({ flows, jobs }));
  return { flows: new Map(update.flows.map((f) => [f.key, f])), jobs: new Map(update.jobs.map((j) => [j.id, j])), filter, rates };
}

describe('sampleRates', () => {
  it('sums the flows of each job and of none', () => {
    const rates = sampleRates(state([flowJson(), flowJson({ key: 'b', rateBitsPerSecond: 5 }), flowJson({ key: 'c', job: undefined, rateBitsPerSecond: 7 })], [jobJson()]), instant(1_000));
    expect(rates).toEqual([
      { job: 'bert', samples: [{ at: 1_000, rate: 1_000_005, dscp: 'AF41' }] },
      { job: null, samples: [{ at: 1_000, rate: 7, dscp: 'AF41' }] },
    ]);
  });

  it('shows a job without a plan in the class of its fastest flow', () => {
    const flows = [flowJson({ key: 'b', dscpSent: 'CS5', rateBitsPerSecond: 5 }), flowJson({ dscpSent: 'AF31' })];
    const job = jobJson({ state: 'Finished', plan: undefined });
    const rates = sampleRates(state(flows, [job]), instant(1_000));
    expect(rates[0]!.samples[0]!.dscp).toBe('AF31');
    expect(sampleRates(state([flowJson({ dscpSent: undefined })], [job], rates), instant(2_000))[0]!.samples[1]!.dscp).toBe('AF31');
  });

  it('draws a running job without flows at nothing, and an ended one no further', () => {
    const first = sampleRates(state([], [jobJson()]), instant(1_000));
    expect(first).toEqual([{ job: 'bert', samples: [{ at: 1_000, rate: 0, dscp: 'AF41' }] }]);
    const then = sampleRates(state([], [jobJson({ state: 'Finished', plan: undefined })], first), instant(2_000));
    expect(then[0]!.samples).toHaveLength(1);
  });

  it('forgets what is older than the window, and series without samples', () => {
    const first = sampleRates(state([flowJson()], []), instant(1_000));
    expect(sampleRates(state([], [], first), instant(1_000 + historyMs))).toHaveLength(1);
    expect(sampleRates(state([], [], first), instant(1_001 + historyMs))).toHaveLength(0);
  });

  it('stays in order when the clock is put back', () => {
    const first = sampleRates(state([flowJson()], []), instant(5_000));
    expect(sampleRates(state([flowJson()], [], first), instant(4_000))[0]!.samples.map((s) => s.at)).toEqual([4_000]);
  });

  it('samples no job whose flows the controller was not asked for', () => {
    const flows = [flowJson(), flowJson({ key: 'b', job: 'resnet' })];
    expect(sampleRates({ ...state(flows, [jobJson()]), filter: { ...filter, job: 'bert' } }, instant(1)).map((s) => s.job)).toEqual(['bert']);
    expect(sampleRates({ ...state(flows, [jobJson()]), filter: { ...filter, host: 'h0-0-0' } }, instant(1))).toEqual([]);
  });
});

describe('stretches', () => {
  const at = (second: number, dscp = 'AF41') => ({ at: instant(second * 1_000), rate: bitsPerSecond(second), dscp });

  it('cuts at gaps, and at changes of level without a hole', () => {
    const parts = stretches([at(1), at(2), at(3, 'AF31'), at(4, 'AF31'), at(20, 'AF31')]);
    expect(parts.map((p) => [p.dscp, p.samples.map((s) => s.rate)])).toEqual([['AF41', [1, 2, 3]], ['AF31', [3, 4]], ['AF31', [20]]]);
    expect(stretches([])).toEqual([]);
  });

  it('finds the sample in force, and none within a gap', () => {
    const samples = [at(1), at(2), at(20)];
    expect([sampleAt(samples, instant(2_900))?.rate, sampleAt(samples, instant(10_000)), sampleAt(samples, instant(20_000))?.rate, sampleAt(samples, instant(0))]).toEqual([2, null, 20, null]);
  });
});

describe('niceTicks', () => {
  it.each([
    [37, [0, 10, 20, 30, 40]], [40, [0, 10, 20, 30, 40]], [41, [0, 20, 40, 60]], [1e6, [0, 5e5, 1e6]], [0, [0, 1]], [Number.NaN, [0, 1]],
  ])('covers %d', (top, ticks) => expect(niceTicks(top, 4)).toEqual(ticks));

  it('always covers the top with few ticks', () => {
    for (let top = 1; top < 1e12; top *= 1.37) {
      const ticks = niceTicks(top, 4);
      expect(ticks.at(-1)).toBeGreaterThanOrEqual(top * (1 - 1e-9));
      expect(ticks.length).toBeLessThanOrEqual(5);
    }
  });
});

describe('spread', () => {
  it('moves labels apart, keeps their order and the frame', () => {
    expect(spread([10, 12, 80], 12, 100)).toEqual([10, 22, 80]);
    expect(spread([99, 98], 12, 100)).toEqual([100, 88]);
    expect(spread([], 12, 100)).toEqual([]);
  });
});
