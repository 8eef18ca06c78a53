import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { instant } from '../units.ts';
import { flowJson, updateJson } from './samples.ts';
import { LiveSession, maxRetryMs, resubscribeMs, retryDelay, type HubConnection } from './session.ts';
import { initialState, reduce, type LiveState } from './state.ts';

const filter = { job: null, host: null, maxFlows: 500 };

/** The server's end of one connection. */
class Hub implements HubConnection {
  readonly sent: unknown[][] = [];
  stopped = false;
  private update: (...args: unknown[]) => void = () => undefined;
  private closed: () => void = () => undefined;
  private readonly refuses: boolean;

  constructor(refuses: boolean) {
    this.refuses = refuses;
  }

  async start(): Promise<void> {
    if (this.refuses) {
      await Promise.reject(new Error('refused'));
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.resolve();
  }

  async send(...args: unknown[]): Promise<void> {
    this.sent.push(args);
    await Promise.resolve();
  }

  on(_method: string, handler: (...args: unknown[]) => void): void {
    this.update = handler;
  }

  onclose(handler: () => void): void {
    this.closed = handler;
  }

  push(value: unknown): void {
    this.update(value);
  }

  close(): void {
    this.closed();
  }
}

function session(refusals: readonly boolean[] = []) {
  const hubs: Hub[] = [];
  let state: LiveState = initialState(instant(Date.now()), filter);
  const wholes = vi.fn();
  const it = new LiveSession(filter, {
    connect: () => {
      const hub = new Hub(refusals[hubs.length] ?? false);
      hubs.push(hub);
      return hub;
    },
    dispatch: (action) => (state = reduce(state, action)),
    onWhole: wholes,
    random: () => 0,
  });
  return { session: it, hubs, wholes, state: () => state };
}

const whole = (over: Record<string, unknown> = {}): Record<string, unknown> => updateJson({ whole: true, flows: [flowJson()], ...over });

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('retryDelay', () => {
  it('doubles up to a limit, less up to half at random', () => {
    expect([1, 2, 3, 4, 5, 6, 50].map((n) => retryDelay(n, 0))).toEqual([500, 1_000, 2_000, 4_000, 8_000, maxRetryMs, maxRetryMs]);
    expect(retryDelay(3, 1)).toBe(1_000);
  });
});

describe('LiveSession', () => {
  it('subscribes and takes over what comes', async () => {
    const { session: s, hubs, state, wholes } = session();
    s.start();
    await vi.advanceTimersByTimeAsync(0);
    expect(hubs[0]!.sent).toEqual([['Subscribe', { maxFlows: 500 }]]);
    hubs[0]!.push(whole());
    expect(state()).toMatchObject({ connection: { phase: 'live' }, needsWhole: false });
    expect(state().flows.size).toBe(1);
    hubs[0]!.push(updateJson());
    expect(wholes).toHaveBeenCalledTimes(1);
  });

  it('dials again with growing pauses until the controller is back, and subscribes again', async () => {
    const { session: s, hubs, state } = session([false, true, true, false]);
    s.start();
    await vi.advanceTimersByTimeAsync(0);
    hubs[0]!.push(whole());
    hubs[0]!.close();
    expect(state().connection).toMatchObject({ phase: 'lost', retryAt: Date.now() + 500 });
    await vi.advanceTimersByTimeAsync(499);
    expect(hubs).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(hubs).toHaveLength(2);
    expect(state().connection).toMatchObject({ phase: 'lost', retryAt: Date.now() + 1_000 });
    await vi.advanceTimersByTimeAsync(1_000 + 2_000);
    expect(hubs).toHaveLength(4);
    expect(hubs[3]!.sent).toEqual([['Subscribe', { maxFlows: 500 }]]);
    hubs[3]!.push(whole({ time: '2020-01-01T00:00:00Z', flows: [] }));
    expect(state().connection.phase).toBe('live');
    expect(state().flows.size).toBe(0);
    // A new loss starts with a short pause again.
    hubs[3]!.close();
    expect(state().connection).toMatchObject({ retryAt: Date.now() + 500 });
  });

  it('goes on growing the pauses when connections open but say nothing', async () => {
    const { session: s, hubs, state } = session();
    s.start();
    for (const pause of [500, 1_000, 2_000]) {
      await vi.advanceTimersByTimeAsync(0);
      hubs.at(-1)!.close();
      expect(state().connection).toMatchObject({ retryAt: Date.now() + pause });
      await vi.advanceTimersByTimeAsync(pause);
    }
  });

  it('does not listen to a connection that it gave up', async () => {
    const { session: s, hubs, state } = session();
    s.start();
    await vi.advanceTimersByTimeAsync(0);
    hubs[0]!.close();
    await vi.advanceTimersByTimeAsync(500);
    hubs[0]!.push(whole());
    hubs[0]!.close();
    expect(state().connection.phase).toBe('connecting');
    expect(hubs).toHaveLength(2);
  });

  it('asks for the whole again after a gap, once, and stops asking when it comes', async () => {
    const { session: s, hubs } = session();
    s.start();
    await vi.advanceTimersByTimeAsync(0);
    const hub = hubs[0]!;
    hub.push(whole());
    hub.push('nonsense');
    hub.push(updateJson());
    await vi.advanceTimersByTimeAsync(resubscribeMs);
    expect(hub.sent).toHaveLength(2);
    hub.push(updateJson());
    hub.push(whole());
    await vi.advanceTimersByTimeAsync(3 * resubscribeMs);
    expect(hub.sent).toHaveLength(2);
  });

  it('sends another filter at once, and again after a reconnection', async () => {
    const { session: s, hubs } = session();
    s.start();
    await vi.advanceTimersByTimeAsync(0);
    s.watch({ job: 'bert', host: 'h0-0-0', maxFlows: 500 });
    await vi.advanceTimersByTimeAsync(0);
    hubs[0]!.close();
    await vi.advanceTimersByTimeAsync(500);
    const wanted = ['Subscribe', { maxFlows: 500, job: 'bert', host: 'h0-0-0' }];
    expect(hubs[0]!.sent[1]).toEqual(wanted);
    expect(hubs[1]!.sent).toEqual([wanted]);
  });

  it('dials at once when told that the network is back, but never twice', async () => {
    const { session: s, hubs } = session();
    s.start();
    await vi.advanceTimersByTimeAsync(0);
    s.retryNow();
    expect(hubs).toHaveLength(1);
    hubs[0]!.close();
    s.retryNow();
    expect(hubs).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(maxRetryMs);
    expect(hubs).toHaveLength(2);
  });

  it('stops for good', async () => {
    const { session: s, hubs } = session();
    s.start();
    await vi.advanceTimersByTimeAsync(0);
    await s.stop();
    hubs[0]!.close();
    await vi.advanceTimersByTimeAsync(maxRetryMs);
    expect(hubs).toHaveLength(1);
    expect(hubs[0]!.stopped).toBe(true);
  });
});
