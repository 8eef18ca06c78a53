// A rate and an amount of data are different types, so that neither can be shown as the other by mistake.

declare const unit: unique symbol;

/** bit/s. */
export type BitsPerSecond = number & { readonly [unit]: 'bit/s' };

/** Bytes (octets), never bits. */
export type Bytes = number & { readonly [unit]: 'byte' };

/** Milliseconds since 1970-01-01 UTC. */
export type Instant = number & { readonly [unit]: 'ms since epoch' };

export const bitsPerSecond = (value: number): BitsPerSecond => value as BitsPerSecond;
export const bytes = (value: number): Bytes => value as Bytes;
export const instant = (value: number): Instant => value as Instant;
