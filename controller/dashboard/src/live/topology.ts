import { decodeTopology } from './decode.ts';
import type { Topology } from './records.ts';

export type TopologyState =
  | { readonly phase: 'loading' }
  | { readonly phase: 'known'; readonly topology: Topology }
  /** The controller has none, or it could not be read; in words. */
  | { readonly phase: 'missing'; readonly reason: string };

/** Shortest time between two attempts, milliseconds. */
const pauseMs = 5_000;

/** The fabric as the controller serves it, read again whenever something hints that it changed. */
export class TopologyFeed {
  private readonly load: () => Promise<Response>;
  private current: TopologyState = { phase: 'loading' };
  private text = '';
  private listener: () => void = () => undefined;
  private busy = false;
  private again = false;
  private lastStart = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(load: () => Promise<Response>) {
    this.load = load;
  }

  get state(): TopologyState {
    return this.current;
  }

  /** At most one listener. */
  onChange(listener: () => void): void {
    this.listener = listener;
  }

  /** Reads the topology now. */
  refresh(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    this.lastStart = performance.now();
    void this.read().finally(() => {
      this.busy = false;
      if (this.again) {
        this.again = false;
        this.refresh();
      }
    });
  }

  /** Something names a node that the known topology lacks: reads it again, but not in a storm. */
  hint(): void {
    this.timer ??= setTimeout(() => this.refresh(), Math.max(0, this.lastStart + pauseMs - performance.now()));
  }

  private async read(): Promise<void> {
    try {
      const response = await this.load();
      if (!response.ok) {
        if (response.status === 404) {
          this.forget('The controller has no topology yet.');
        } else if (this.current.phase !== 'known') {
          this.forget(`The controller answered ${response.status} when asked for the topology.`);
        }
        this.hint();
        return;
      }
      const text = await response.text();
      if (text !== this.text) {
        const topology = decodeTopology(JSON.parse(text));
        this.text = text;
        this.set({ phase: 'known', topology });
      }
    } catch (error) {
      // What is known is kept: a controller that restarts does not change the fabric.
      if (this.current.phase !== 'known') {
        this.forget(`The topology could not be read: ${error instanceof Error ? error.message : String(error)}.`);
      }
      this.hint();
    }
  }

  private forget(reason: string): void {
    this.text = '';
    this.set({ phase: 'missing', reason });
  }

  private set(state: TopologyState): void {
    this.current = state;
    this.listener();
  }
}
