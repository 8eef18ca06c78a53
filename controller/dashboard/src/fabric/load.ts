import { byName } from '../format.ts';
import { linkKey } from '../live/state.ts';
import type { LinkLoad } from '../live/records.ts';

/** Steps of the scale by which links are drawn; `from` is the least utilisation of the step, 0..1. */
export const loadSteps = [
  { from: 0, name: 'idle', label: 'under 1 %', width: 1 },
  { from: 0.01, name: 'low', label: '1–25 %', width: 1.8 },
  { from: 0.25, name: 'moderate', label: '25–50 %', width: 2.8 },
  { from: 0.5, name: 'high', label: '50–80 %', width: 4 },
  { from: 0.8, name: 'full', label: '80 % and more', width: 5.5 },
] as const;

export type LoadStep = (typeof loadSteps)[number];

/** Share of the capacity in use; 0 where the capacity is not known. */
export const utilisation = (load: LinkLoad): number => (load.rateBitsPerSecond > 0 ? load.bitsPerSecond / load.rateBitsPerSecond : 0);

/** The step of a utilisation, 0..1 or more. */
export function loadStep(share: number): LoadStep {
  let step: LoadStep = loadSteps[0];
  for (const candidate of loadSteps) {
    if (share >= candidate.from) {
      step = candidate;
    }
  }
  return step;
}

/** Directions of links by utilisation, highest first, then by name so that idle ones keep their places. */
export function busiest(links: ReadonlyMap<string, LinkLoad>, node: string | null, most: number): readonly LinkLoad[] {
  return [...links.values()]
    .filter((l) => node === null || l.source === node || l.target === node)
    .sort((a, b) => utilisation(b) - utilisation(a) || byName(a.source, b.source) || byName(a.target, b.target))
    .slice(0, most);
}

/** Both directions of all links of a node, by the other end's name. */
export function loadsOf(links: ReadonlyMap<string, LinkLoad>, node: string, others: readonly string[]): readonly { readonly other: string; readonly out: LinkLoad | undefined; readonly in: LinkLoad | undefined }[] {
  return [...new Set(others)].sort(byName).map((other) => ({ other, out: links.get(linkKey(node, other)), in: links.get(linkKey(other, node)) }));
}
