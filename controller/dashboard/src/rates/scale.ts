/** Up to `most` + 1 round values from 0 to at least `top`: steps of 1, 2 or 5 times a power of ten. */
export function niceTicks(top: number, most: number): readonly number[] {
  if (!(top > 0) || !Number.isFinite(top)) {
    return [0, 1];
  }
  const power = 10 ** Math.floor(Math.log10(top / most));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s * most >= top * (1 - 1e-9)) ?? 10 * power;
  const count = Math.max(1, Math.ceil(top / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, i) => i * step);
}

/** Places labels near their wanted positions without overlap: keeps their order, at least `gap` apart, within 0..`height`. */
export function spread(wanted: readonly number[], gap: number, height: number): readonly number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a]! - wanted[b]! || a - b);
  const placed = [...wanted];
  order.forEach((index, i) => {
    const floor = i === 0 ? 0 : placed[order[i - 1]!]! + gap;
    placed[index] = Math.max(placed[index]!, floor);
  });
  for (let i = order.length - 1; i >= 0; i--) {
    const ceiling = i === order.length - 1 ? height : placed[order[i + 1]!]! - gap;
    placed[order[i]!] = Math.min(placed[order[i]!]!, ceiling);
  }
  return placed;
}
