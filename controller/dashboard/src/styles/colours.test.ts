import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ladder } from '../dscp.ts';

type Colour = readonly [number, number, number];

const css = readFileSync(new URL('./tokens.css', import.meta.url), 'utf8');
const block = (start: string): ReadonlyMap<string, string> => {
  const from = css.indexOf(start);
  expect(from, start).toBeGreaterThanOrEqual(0);
  return new Map([...css.slice(from, css.indexOf('}', from)).matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})/g)].map((m) => [m[1]!, m[2]!]));
};
const themes = {
  light: block(':root {'),
  'dark by the system': block(":root:not([data-theme='light']) {"),
  'dark by choice': block(":root[data-theme='dark'] {"),
};

/** Linear RGB, 0..1. */
function linear(hex: string | undefined): Colour {
  const channel = (from: number): number => {
    const c = Number.parseInt(hex!.slice(from, from + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  return [channel(1), channel(3), channel(5)];
}

const times = (m: readonly Colour[], c: Colour): Colour => m.map((row) => row[0] * c[0] + row[1] * c[1] + row[2] * c[2]) as unknown as Colour;

/** Contrast ratio, WCAG 2.2. */
function contrast(a: Colour, b: Colour): number {
  const luminance = (c: Colour): number => 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

// G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009, severity 1.
const sights: Readonly<Record<string, readonly Colour[]>> = {
  usual: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
};

/** Oklab (B. Ottosson, 2020): distances are near to what is seen; 0.02 is just noticeable. */
function oklab(c: Colour): Colour {
  const clipped = c.map((v) => Math.min(1, Math.max(0, v))) as unknown as Colour;
  const lms = times([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]], clipped).map(Math.cbrt) as unknown as Colour;
  return times([[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]], lms);
}

describe.each(Object.entries(themes))('%s theme', (_name, colours) => {
  const dscps = ladder.map((c) => `dscp-${c.dscp.toLowerCase()}`);

  it.each(Object.entries(sights))('priority classes differ clearly with %s sight', (_sight, matrix) => {
    for (const [i, a] of dscps.entries()) {
      for (const b of dscps.slice(i + 1)) {
        const [x, y] = [oklab(times(matrix, linear(colours.get(a)))), oklab(times(matrix, linear(colours.get(b))))];
        expect(Math.hypot(x[0] - y[0], x[1] - y[1], x[2] - y[2]), `${a} and ${b}`).toBeGreaterThan(0.08);
      }
    }
  });

  it('signs and lines of classes stand out by 3:1', () => {
    for (const name of [...dscps, 'dscp-other', 'strong-border', 'load-high', 'load-full', 'good', 'wait', 'poor']) {
      expect(contrast(linear(colours.get(name)), linear(colours.get('surface'))), name).toBeGreaterThanOrEqual(2.99);
    }
  });

  it('text stands out by 4.5:1 on everything it stands on', () => {
    const pairs: readonly [string, readonly string[]][] = [
      ['text', ['page', 'surface', 'raised', 'poor-soft', 'wait-soft', 'accent-soft', 'bar']], ['muted', ['page', 'surface', 'raised', 'poor-soft', 'accent-soft']], ['accent', ['surface', 'accent-soft']],
      ['good', ['good-soft']], ['wait', ['wait-soft', 'raised', 'surface']], ['poor', ['poor-soft', 'raised', 'surface']],
    ];
    for (const [text, grounds] of pairs) {
      for (const ground of grounds) {
        expect(contrast(linear(colours.get(text)), linear(colours.get(ground))), `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5);
      }
    }
  });

  it('load goes one way in lightness, away from the surface', () => {
    const lightness = ['surface', 'load-idle', 'load-low', 'load-moderate', 'load-high', 'load-full'].map((n) => oklab(linear(colours.get(n)))[0]);
    const steps = lightness.slice(1).map((l, i) => Math.sign(l - lightness[i]!));
    expect(new Set(steps).size, lightness.map((l) => l.toFixed(2)).join(' ')).toBe(1);
  });
});

it('both dark themes are the same', () => {
  expect([...themes['dark by choice']]).toEqual([...themes['dark by the system']]);
});
