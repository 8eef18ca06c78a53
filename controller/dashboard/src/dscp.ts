/** Code points with a name: RFC 2474 (CS), RFC 2597 (AF), RFC 3246 (EF), RFC 8622 (LE). */
const names: ReadonlyMap<number, string> = new Map([
  [0, 'CS0'], [1, 'LE'], [8, 'CS1'], [10, 'AF11'], [12, 'AF12'], [14, 'AF13'], [16, 'CS2'], [18, 'AF21'], [20, 'AF22'], [22, 'AF23'],
  [24, 'CS3'], [26, 'AF31'], [28, 'AF32'], [30, 'AF33'], [32, 'CS4'], [34, 'AF41'], [36, 'AF42'], [38, 'AF43'], [40, 'CS5'], [46, 'EF'],
  [48, 'CS6'], [56, 'CS7'],
]);
const known = new Set(names.values());

/** One class of the fabric's ladder as the legend shows it. */
export interface LadderClass {
  readonly dscp: string;
  readonly use: string;
}

/** The ladder that every queue of the fabric serves, highest first. */
export const ladder: readonly LadderClass[] = [
  { dscp: 'CS5', use: 'signalling' },
  { dscp: 'AF41', use: 'level 1' },
  { dscp: 'AF31', use: 'level 2' },
  { dscp: 'AF21', use: 'level 3' },
  { dscp: 'AF11', use: 'level 4' },
  { dscp: 'CS0', use: 'level 5, and all other traffic' },
  { dscp: 'LE', use: 'level 6, lower than all other traffic' },
];

/** The code point's name, or its number as text where it has none; null when the value is no code point (0..63 or a name). */
export function dscpName(value: unknown): string | null {
  if (typeof value === 'string') {
    const name = value.toUpperCase();
    if (known.has(name)) {
      return name;
    }
    return /^\d{1,2}$/.test(value) ? dscpName(Number(value)) : null;
  }
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 63 ? names.get(value) ?? String(value) : null;
}

/** Name of the CSS class that carries the code point's colour; the same everywhere on the page. */
export function dscpClass(dscp: string | null): string {
  return dscp !== null && ladder.some((c) => c.dscp === dscp) ? `dscp-${dscp.toLowerCase()}` : 'dscp-other';
}
