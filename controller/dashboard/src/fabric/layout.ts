import { byName } from '../format.ts';
import type { Topology, TopologyNode } from '../live/records.ts';

/** A node where it is drawn. */
export interface PlacedNode {
  readonly id: string;
  readonly kind: 'host' | 'switch';
  readonly node: TopologyNode;
  /** 0 is the lowest layer, where hosts stand. */
  readonly layer: number;
  /** Position in the layer from the left, for moving by keyboard. */
  readonly index: number;
  readonly x: number;
  readonly y: number;
}

/** A link between two placed nodes; several parallel ones are drawn as one, as loads are known for both together. */
export interface PlacedLink {
  readonly a: PlacedNode;
  readonly b: PlacedNode;
}

export interface FabricLayout {
  readonly width: number;
  readonly height: number;
  /** Height that the drawing has at least, whatever is available. */
  readonly minHeight: number;
  /** Lowest layer first, each from left to right. */
  readonly layers: readonly (readonly PlacedNode[])[];
  readonly nodes: ReadonlyMap<string, PlacedNode>;
  readonly links: readonly PlacedLink[];
  /** Hosts stand in blocks under their rack switch: too many for a row, so their links are drawn as part of them. */
  readonly dense: boolean;
  /** Switches have room for their names. */
  readonly named: boolean;
}

const margin = 14;
/** Least and most distance between layers, pixels. */
const leastGap = 84;
const mostGap = 130;
const topMargin = 20;
const cell = 13;
/** Narrowest place of a host with its name, pixels. */
const hostPitch = 40;
/** Narrowest place of a switch with its name and without, pixels. */
const namedPitch = 42;
const barePitch = 15;
/** This many hosts stand in a row, even where it must be scrolled. */
const rowHosts = 16;
/** Between rack switches and blocks of hosts, pixels. */
const blockGap = 26;

const tierLayers: Readonly<Record<string, number>> = { edge: 1, leaf: 1, tor: 1, aggregation: 2, core: 3, spine: 3 };

/**
 * Layer of every node: hosts 0, switches by their `tier` where they have a known one, else by their distance from the nearest host.
 * Layers that nobody stands in are left out, so that a leaf-spine fabric has three and not four.
 */
export function layerOf(topology: Topology): ReadonlyMap<string, number> {
  const neighbours = adjacency(topology);
  const distance = new Map<string, number>();
  const queue = topology.nodes.filter((n) => n.kind === 'host').map((n) => n.id);
  for (const id of queue) {
    distance.set(id, 0);
  }
  for (let i = 0; i < queue.length; i++) {
    const id = queue[i]!;
    for (const next of neighbours.get(id) ?? []) {
      if (!distance.has(next)) {
        distance.set(next, distance.get(id)! + 1);
        queue.push(next);
      }
    }
  }
  const raw = new Map<string, number>();
  for (const node of topology.nodes) {
    raw.set(node.id, node.kind === 'host' ? 0 : tierLayers[node.tier?.toLowerCase() ?? ''] ?? Math.max(1, distance.get(node.id) ?? 1));
  }
  const used = [...new Set(raw.values())].sort((a, b) => a - b);
  return new Map([...raw].map(([id, layer]) => [id, used.indexOf(layer)]));
}

/**
 * Places a fabric in layers, hosts at the bottom. Deterministic.
 * @param available Width to fill, pixels; the result is wider where the nodes need more.
 * @param availableHeight Height to fill, pixels, as far as layers do not come too far apart; the result is higher where the layers need more.
 */
export function layOut(topology: Topology, available: number, availableHeight: number): FabricLayout {
  const layerById = layerOf(topology);
  const neighbours = adjacency(topology);
  const layerCount = Math.max(0, ...layerById.values()) + 1;
  const byLayer: TopologyNode[][] = Array.from({ length: layerCount }, () => []);
  for (const node of topology.nodes) {
    byLayer[layerById.get(node.id)!]!.push(node);
  }

  // Racks: the lowest switches with the hosts under them. A host without a switch stands in a rack of its own.
  const hosts = topology.nodes.filter((n) => n.kind === 'host');
  const racks = new Map<string, TopologyNode[]>();
  const lowest = [...(byLayer[1] ?? [])].sort((a, b) => byName(a.pod ?? '', b.pod ?? '') || byName(a.id, b.id));
  for (const node of lowest) {
    racks.set(node.id, []);
  }
  for (const host of [...hosts].sort((a, b) => byName(a.id, b.id))) {
    const rack = (neighbours.get(host.id) ?? []).filter((id) => racks.has(id)).sort(byName)[0] ?? host.id;
    racks.set(rack, [...(racks.get(rack) ?? []), host]);
  }

  const widestUpper = Math.max(1, ...byLayer.slice(1).map((l) => l.length));
  const rowUnits = [...racks.values()].reduce((sum, r) => sum + Math.max(1, r.length) * hostPitch, 0);
  const dense = hosts.length > rowHosts && rowUnits + 2 * margin > available;
  const named = widestUpper * namedPitch + 2 * margin <= available || widestUpper <= rowHosts;
  const pitch = named ? namedPitch : barePitch;
  const needed = Math.max(dense ? racks.size * pitch : rowUnits, widestUpper * pitch) + 2 * margin;
  const width = Math.max(available, needed);
  const largest = Math.max(1, ...[...racks.values()].map((r) => r.length));
  // As square as fits, with a gap of half a cell to the next rack.
  const blockColumns = Math.max(1, Math.min(Math.ceil(Math.sqrt(largest)), Math.floor((width - 2 * margin) / Math.max(1, racks.size) / cell - 0.5)));
  const rackUnits = (rack: readonly TopologyNode[]): number => (dense ? 1 : Math.max(1, rack.length));
  const stretch = (width - 2 * margin) / Math.max(1, [...racks.values()].reduce((sum, r) => sum + rackUnits(r), 0));

  const x = new Map<string, number>();
  const hostRow = new Map<string, number>();
  let left = margin;
  for (const [rack, members] of racks) {
    const span = rackUnits(members) * stretch;
    const middle = left + span / 2;
    x.set(rack, middle);
    members.forEach((host, i) => {
      if (dense) {
        const columns = Math.min(blockColumns, members.length);
        x.set(host.id, middle + ((i % blockColumns) - (columns - 1) / 2) * cell);
        hostRow.set(host.id, Math.floor(i / blockColumns));
      } else {
        x.set(host.id, left + (span * (i + 0.5)) / members.length);
      }
    });
    left += span;
  }
  for (let layer = 2; layer < layerCount; layer++) {
    placeAbove(byLayer[layer]!, layer === layerCount - 1, neighbours, layerById, x, width, pitch);
  }

  const rows = Math.max(0, ...hostRow.values());
  // Blocks stand close to their switches, as no lines lead to them.
  const gaps = Math.max(0, layerCount - 1 - (dense ? 1 : 0));
  const around = topMargin + (dense ? blockGap + rows * cell + 14 : 34);
  const minHeight = around + gaps * leastGap;
  const layerGap = Math.floor(Math.min(mostGap, Math.max(leastGap, (availableHeight - around) / Math.max(1, gaps))));
  const height = around + gaps * layerGap;
  const hostsTop = topMargin + gaps * layerGap + (dense ? blockGap : 0);
  const layerTop = (layer: number): number => topMargin + (layerCount - 1 - layer) * layerGap;
  const layers = byLayer.map((members, layer) =>
    [...members]
      .sort((a, b) => x.get(a.id)! - x.get(b.id)! || (hostRow.get(a.id) ?? 0) - (hostRow.get(b.id) ?? 0) || byName(a.id, b.id))
      .map((node, index): PlacedNode => ({
        id: node.id,
        kind: node.kind,
        node,
        layer,
        index,
        x: x.get(node.id)!,
        y: layer === 0 ? hostsTop + (hostRow.get(node.id) ?? 0) * cell : layerTop(layer),
      })),
  );
  const nodes = new Map(layers.flat().map((n) => [n.id, n]));
  const links = new Map<string, PlacedLink>();
  for (const link of topology.links) {
    const a = nodes.get(link.source);
    const b = nodes.get(link.target);
    if (a !== undefined && b !== undefined && a !== b && !(dense && (a.kind === 'host' || b.kind === 'host'))) {
      const [lower, upper] = a.layer < b.layer || (a.layer === b.layer && byName(a.id, b.id) < 0) ? [a, b] : [b, a];
      links.set(`${lower.id}\n${upper.id}`, { a: lower, b: upper });
    }
  }
  return { width, height, minHeight, layers, nodes, links: [...links.values()], dense, named };
}

/** Nodes with the same children stand together over them, side by side; the top layer is spread evenly over the whole width. */
function placeAbove(
  members: readonly TopologyNode[], top: boolean, neighbours: ReadonlyMap<string, readonly string[]>, layerById: ReadonlyMap<string, number>,
  x: Map<string, number>, width: number, leastPitch: number,
): void {
  const spans = members.map((node) => {
    const under = (neighbours.get(node.id) ?? []).filter((id) => layerById.get(id)! < layerById.get(node.id)!).map((id) => x.get(id)!);
    const from = under.length === 0 ? width / 2 : Math.min(...under);
    const to = under.length === 0 ? width / 2 : Math.max(...under);
    const mean = under.length === 0 ? width / 2 : under.reduce((a, b) => a + b, 0) / under.length;
    return { node, from, to, mean };
  });
  spans.sort((a, b) => a.mean - b.mean || byName(a.node.id, b.node.id));
  if (top) {
    spans.forEach((s, i) => x.set(s.node.id, margin + ((width - 2 * margin) * (i + 0.5)) / spans.length));
    return;
  }
  for (let i = 0; i < spans.length;) {
    const first = spans[i]!;
    let end = i + 1;
    while (end < spans.length && Math.abs(spans[end]!.mean - first.mean) < 0.5) {
      end++;
    }
    const count = end - i;
    for (let n = 0; n < count; n++) {
      const s = spans[i + n]!;
      x.set(s.node.id, count === 1 ? s.mean : s.from + ((s.to - s.from) * n) / (count - 1));
    }
    i = end;
  }
  // Keep names apart where spans were too narrow.
  const ordered = spans.map((s) => s.node.id).sort((a, b) => x.get(a)! - x.get(b)!);
  const pitch = Math.min(leastPitch, (width - 2 * margin) / Math.max(1, ordered.length));
  for (let i = 1; i < ordered.length; i++) {
    x.set(ordered[i]!, Math.max(x.get(ordered[i]!)!, x.get(ordered[i - 1]!)! + pitch));
  }
  for (let i = ordered.length - 1; i >= 0; i--) {
    const limit = i === ordered.length - 1 ? width - margin : x.get(ordered[i + 1]!)! - pitch;
    x.set(ordered[i]!, Math.min(x.get(ordered[i]!)!, limit));
  }
}

function adjacency(topology: Topology): ReadonlyMap<string, readonly string[]> {
  const result = new Map<string, string[]>(topology.nodes.map((n) => [n.id, []]));
  for (const link of topology.links) {
    if (result.has(link.source) && result.has(link.target)) {
      result.get(link.source)!.push(link.target);
      result.get(link.target)!.push(link.source);
    }
  }
  return result;
}
