import { describe, expect, it } from 'vitest';
import { fatTree } from '../../dev/feed.ts';
import { decodeTopology, decodeUpdate } from '../live/decode.ts';
import type { Topology } from '../live/records.ts';
import { linkJson, updateJson } from '../live/samples.ts';
import { linkKey } from '../live/state.ts';
import { step } from './keys.ts';
import { layerOf, layOut } from './layout.ts';
import { busiest, loadStep, utilisation } from './load.ts';

const script = { k: 4, pods: 2, hostsPerRack: 4, jobs: 0, extraFlows: 0, faults: 0, trouble: false };
const tree = (over: Partial<typeof script> = {}): Topology => decodeTopology(fatTree({ ...script, ...over }));
const small = (nodes: [string, 'host' | 'switch', string?][], links: [string, string][]): Topology => decodeTopology({
  nodes: nodes.map(([id, kind, tier]) => ({ id, kind, ...(tier === undefined ? {} : { tier }) })),
  links: links.map(([source, target]) => ({ source, target, rateBitsPerSecond: 1 })),
});

describe('layerOf', () => {
  it('follows the tiers of a fat-tree', () => {
    const layers = layerOf(tree());
    expect([layers.get('h0-0-0'), layers.get('e0-0'), layers.get('a1-1'), layers.get('c3')]).toEqual([0, 1, 2, 3]);
  });

  it('measures the distance to hosts where no tier is given', () => {
    const layers = layerOf(tree({ k: 0 }));
    expect([layers.get('n0-0'), layers.get('leaf0'), layers.get('spine2')]).toEqual([0, 1, 2]);
  });

  it('leaves no layer empty, and places what is not connected', () => {
    //  h - e - spine     x (alone)
    const layers = layerOf(small([['h', 'host'], ['e', 'switch', 'edge'], ['s', 'switch', 'core'], ['x', 'switch']], [['h', 'e'], ['e', 's']]));
    expect(Object.fromEntries(layers)).toEqual({ h: 0, e: 1, s: 2, x: 1 });
  });
});

describe('layOut', () => {
  it.each([
    ['the demonstration fabric', tree(), 690],
    ['a full fat-tree', tree({ pods: 4, hostsPerRack: 2 }), 690],
    ['256 hosts', tree({ k: 8, pods: 8, hostsPerRack: 8 }), 770],
    ['leaf and spine', tree({ k: 0, hostsPerRack: 6 }), 690],
    ['a phone', tree(), 330],
    ['hosts of unequal racks', small([['e1', 'switch'], ['e2', 'switch'], ['a', 'host'], ['b', 'host'], ['c', 'host']], [['a', 'e1'], ['b', 'e1'], ['c', 'e2'], ['e1', 'e2']]), 400],
  ])('places every node of %s within the drawing and none on another', (_what, topology, width) => {
    const layout = layOut(topology, width, 300);
    const nodes = [...layout.nodes.values()];
    expect(nodes).toHaveLength(topology.nodes.length);
    const least = layout.dense ? 12 : 30;
    for (const node of nodes) {
      expect(node.x).toBeGreaterThanOrEqual(0);
      expect(node.x).toBeLessThanOrEqual(layout.width);
      expect(node.y).toBeGreaterThanOrEqual(0);
      expect(node.y).toBeLessThanOrEqual(layout.height);
      for (const other of nodes) {
        if (other !== node && other.y === node.y && other.layer === node.layer) {
          expect(Math.abs(other.x - node.x), `${node.id} and ${other.id}`).toBeGreaterThanOrEqual(least - 0.01);
        }
      }
    }
  });

  it('fits the demonstration fabric into a narrow panel without scrolling', () => {
    expect(layOut(tree(), 690, 300).width).toBe(690);
  });

  it('puts cores on top and hosts at the bottom, each under its rack switch', () => {
    const { nodes } = layOut(tree(), 690, 300);
    const y = (id: string): number => nodes.get(id)!.y;
    expect(y('c0')).toBeLessThan(y('a0-0'));
    expect(y('a0-0')).toBeLessThan(y('e0-0'));
    expect(y('e0-0')).toBeLessThan(y('h0-0-0'));
    const rack = ['h0-1-0', 'h0-1-1', 'h0-1-2', 'h0-1-3'].map((h) => nodes.get(h)!.x);
    expect(rack.reduce((a, b) => a + b) / 4).toBeCloseTo(nodes.get('e0-1')!.x);
  });

  it('draws parallel links as one and leaves out links to nowhere', () => {
    const layout = layOut(small([['h', 'host'], ['e', 'switch']], [['h', 'e'], ['e', 'h'], ['e', 'ghost'], ['e', 'e']]), 300, 200);
    expect(layout.links.map((l) => `${l.a.id}-${l.b.id}`)).toEqual(['h-e']);
  });

  it('survives an empty topology and one without switches', () => {
    expect(layOut(small([], []), 300, 200).nodes.size).toBe(0);
    expect(layOut(small([['a', 'host'], ['b', 'host']], [['a', 'b']]), 300, 200).links).toHaveLength(1);
  });
});

describe('step', () => {
  const layout = layOut(tree(), 690, 300);
  const go = (from: string, key: string): string | null => step(layout, layout.nodes.get(from)!, key)?.id ?? null;

  it.each([
    ['h0-0-1', 'ArrowRight', 'h0-0-2'], ['h0-0-0', 'ArrowLeft', null], ['h0-0-1', 'ArrowUp', 'e0-0'], ['e0-0', 'ArrowUp', 'a0-0'], ['c0', 'ArrowUp', null],
    ['h0-0-1', 'End', 'h1-1-3'], ['h1-1-3', 'Home', 'h0-0-0'], ['h0-0-0', 'ArrowDown', null], ['h0-0-0', 'x', null],
  ])('from %s by %s to %s', (from, key, to) => expect(go(from, key)).toBe(to));

  it('reaches every node by arrows', () => {
    const seen = new Set(['h0-0-0']);
    const queue = ['h0-0-0'];
    for (const id of queue) {
      for (const key of ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown']) {
        const to = go(id, key);
        if (to !== null && !seen.has(to)) {
          seen.add(to);
          queue.push(to);
        }
      }
    }
    expect(seen.size).toBe(layout.nodes.size);
  });
});

describe('load', () => {
  const links = decodeUpdate(updateJson({
    links: [linkJson({ bitsPerSecond: 2 }), linkJson({ source: 'e0-0', target: 'h0-0-0', bitsPerSecond: 19_000_000 }), linkJson({ source: 'a', target: 'b', rateBitsPerSecond: 0 })],
  })).links;

  it('divides by the capacity, and not by nothing', () => {
    expect(links.map(utilisation)).toEqual([1e-7, 0.95, 0]);
  });

  it.each([[0, 'idle'], [0.009, 'idle'], [0.01, 'low'], [0.25, 'moderate'], [0.5, 'high'], [0.799, 'high'], [0.8, 'full'], [1.3, 'full']])('%d is %s', (share, name) =>
    expect(loadStep(share).name).toBe(name));

  it('lists the busiest directions first, of all links or of one node', () => {
    const map = new Map(links.map((l) => [linkKey(l.source, l.target), l]));
    expect(busiest(map, null, 9).map((l) => l.source)).toEqual(['e0-0', 'h0-0-0', 'a']);
    expect(busiest(map, 'b', 9).map((l) => l.source)).toEqual(['a']);
    expect(busiest(map, null, 1)).toHaveLength(1);
  });
});
