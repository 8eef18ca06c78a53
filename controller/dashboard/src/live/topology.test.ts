import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TopologyFeed } from './topology.ts';

const lab = (host: string): Response => new Response(JSON.stringify({ nodes: [{ id: host, kind: 'host' }], links: [] }));
const nodes = (feed: TopologyFeed): string[] | string => (feed.state.phase === 'known' ? feed.state.topology.nodes.map((n) => n.id) : feed.state.phase);

/** A feed whose answers are given in turn; the last one goes on. */
function feedOf(...answers: (() => Response | Promise<Response>)[]) {
  const load = vi.fn(async () => await answers[Math.min(load.mock.calls.length, answers.length) - 1]!());
  const feed = new TopologyFeed(load);
  const changes = vi.fn();
  feed.onChange(changes);
  return { feed, load, changes };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('TopologyFeed', () => {
  it('reads the topology, and tells of it only when it changed', async () => {
    const { feed, changes } = feedOf(() => lab('a'), () => lab('a'), () => lab('b'));
    for (const expected of [['a'], ['a'], ['b']]) {
      feed.refresh();
      await vi.advanceTimersByTimeAsync(0);
      expect(nodes(feed)).toEqual(expected);
    }
    expect(changes).toHaveBeenCalledTimes(2);
  });

  it('says why there is none, and asks again by itself', async () => {
    const { feed } = feedOf(() => new Response('', { status: 404 }), () => new Response('', { status: 503 }), () => lab('a'));
    feed.refresh();
    await vi.advanceTimersByTimeAsync(0);
    expect(feed.state).toEqual({ phase: 'missing', reason: 'The controller has no topology yet.' });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(feed.state).toEqual({ phase: 'missing', reason: 'The controller answered 503 when asked for the topology.' });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(nodes(feed)).toEqual(['a']);
  });

  it('keeps what it knows while the controller is away or talks nonsense', async () => {
    const { feed, load } = feedOf(() => lab('a'), () => Promise.reject(new Error('refused')), () => new Response('', { status: 503 }), () => new Response('<html>'), () => new Response('{"nodes":7}'), () => lab('b'));
    feed.refresh();
    await vi.advanceTimersByTimeAsync(0);
    feed.refresh();
    for (let attempt = 2; attempt <= 5; attempt++) {
      await vi.advanceTimersByTimeAsync(attempt === 2 ? 0 : 5_000);
      expect([load.mock.calls.length, nodes(feed)]).toEqual([attempt, ['a']]);
    }
    await vi.advanceTimersByTimeAsync(5_000);
    expect(nodes(feed)).toEqual(['b']);
  });

  it('reads once more when asked while it reads, and no oftener than each five seconds for hints', async () => {
    const answers: ((response: Response) => void)[] = [];
    const { feed, load } = feedOf(() => new Promise((resolve) => answers.push(resolve)));
    feed.refresh();
    feed.refresh();
    feed.refresh();
    expect(load).toHaveBeenCalledTimes(1);
    answers[0]!(lab('a'));
    await vi.advanceTimersByTimeAsync(0);
    expect(load).toHaveBeenCalledTimes(2);
    answers[1]!(lab('a'));
    await vi.advanceTimersByTimeAsync(0);
    for (let i = 0; i < 20; i++) {
      feed.hint();
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(load).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(load).toHaveBeenCalledTimes(3);
  });
});
