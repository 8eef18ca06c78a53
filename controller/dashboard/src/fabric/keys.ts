import type { FabricLayout, PlacedNode } from './layout.ts';

/** The node that an arrow key leads to, Home and End to the ends of the layer; null when the key leads nowhere. Up and down go to the nearest node of the next layer. */
export function step(layout: FabricLayout, from: PlacedNode, key: string): PlacedNode | null {
  const layer = layout.layers[from.layer] ?? [];
  switch (key) {
    case 'ArrowLeft':
      return layer[from.index - 1] ?? null;
    case 'ArrowRight':
      return layer[from.index + 1] ?? null;
    case 'Home':
      return layer[0] ?? null;
    case 'End':
      return layer.at(-1) ?? null;
    case 'ArrowUp':
      return nearest(layout.layers[from.layer + 1] ?? [], from);
    case 'ArrowDown':
      return nearest(layout.layers[from.layer - 1] ?? [], from);
    default:
      return null;
  }
}

function nearest(nodes: readonly PlacedNode[], to: PlacedNode): PlacedNode | null {
  let best: PlacedNode | null = null;
  for (const node of nodes) {
    if (best === null || Math.abs(node.x - to.x) < Math.abs(best.x - to.x)) {
      best = node;
    }
  }
  return best;
}
