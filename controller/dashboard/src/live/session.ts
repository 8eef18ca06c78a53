import { instant, type Instant } from '../units.ts';
import { decodeUpdate, DecodeError } from './decode.ts';
import type { LiveFilter } from './records.ts';
import type { LiveAction, LiveState } from './state.ts';

/** The part of a SignalR connection that is used here. */
export interface HubConnection {
  start(): Promise<void>;
  stop(): Promise<void>;
  send(method: string, ...args: unknown[]): Promise<void>;
  on(method: string, handler: (...args: unknown[]) => void): void;
  onclose(handler: (error?: Error) => void): void;
}

export interface SessionOptions {
  /** Makes a connection that was never started; called once for each attempt. */
  readonly connect: () => HubConnection;
  readonly dispatch: (action: LiveAction) => LiveState;
  /** Called after each whole update: the controller begins anew when the fabric changes, and that is not part of the feed. */
  readonly onWhole?: () => void;
  readonly now?: () => Instant;
  /** 0..1. */
  readonly random?: () => number;
}

/** Longest time between two attempts, milliseconds: a controller that is back is seen soon after. */
export const maxRetryMs = 10_000;

/** How long no further whole state is asked for after one was, milliseconds. */
export const resubscribeMs = 2_000;

/**
 * How long to wait before attempt `attempt` (1 is the first after a loss), milliseconds: doubling from half a second to ten,
 * less up to half at random, so that many pages do not return to a restarted controller in the same moment.
 */
export function retryDelay(attempt: number, random: number): number {
  const most = Math.min(maxRetryMs, 500 * 2 ** Math.min(attempt - 1, 10));
  return most * (1 - random / 2);
}

/** Keeps one subscription to the live hub, for ever: dials, subscribes, dials again. All it learns goes to `dispatch`. */
export class LiveSession {
  private readonly options: SessionOptions;
  private readonly now: () => Instant;
  private readonly random: () => number;
  private filter: LiveFilter;
  private connection: HubConnection | null = null;
  private subscribed = false;
  private attempt = 0;
  private stopped = false;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private resubscribeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(filter: LiveFilter, options: SessionOptions) {
    this.filter = filter;
    this.options = options;
    this.now = options.now ?? (() => instant(Date.now()));
    this.random = options.random ?? Math.random;
  }

  start(): void {
    void this.dial();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.retryTimer);
    clearTimeout(this.resubscribeTimer);
    await this.connection?.stop();
  }

  /** Asks for other flows. Takes effect at once, or with the next connection. */
  watch(filter: LiveFilter): void {
    this.filter = filter;
    if (this.connection !== null && this.subscribed) {
      this.resubscribe(this.connection);
    }
  }

  /** Dials at once instead of at the end of the wait, e.g. when the browser says that the network is back. */
  retryNow(): void {
    if (this.connection === null && !this.stopped) {
      clearTimeout(this.retryTimer);
      void this.dial();
    }
  }

  private async dial(): Promise<void> {
    const connection = this.options.connect();
    this.connection = connection;
    this.subscribed = false;
    this.options.dispatch({ type: 'connecting', at: this.now() });
    connection.on('Update', (value) => this.receive(connection, value));
    connection.onclose(() => this.lose(connection));
    try {
      await connection.start();
      await this.subscribe(connection);
      this.subscribed = connection === this.connection;
    } catch {
      // Why is in the browser's console, written by the SignalR client; here only that it failed matters.
      this.lose(connection);
      await connection.stop().catch(() => undefined);
    }
  }

  private async subscribe(connection: HubConnection): Promise<void> {
    clearTimeout(this.resubscribeTimer);
    this.resubscribeTimer = undefined;
    const filter = this.filter;
    this.options.dispatch({ type: 'subscribing', filter });
    await connection.send('Subscribe', {
      maxFlows: filter.maxFlows,
      ...(filter.job === null ? {} : { job: filter.job }),
      ...(filter.host === null ? {} : { host: filter.host }),
    });
  }

  private receive(connection: HubConnection, value: unknown): void {
    if (connection !== this.connection) {
      return;
    }
    const action = this.read(value);
    const state = this.options.dispatch(action);
    if (action.type === 'update' && action.update.whole) {
      this.options.onWhole?.();
    }
    if (state.connection.phase === 'live') {
      this.attempt = 0;
    }
    if (!state.needsWhole) {
      clearTimeout(this.resubscribeTimer);
      this.resubscribeTimer = undefined;
    } else if (this.subscribed && this.resubscribeTimer === undefined) {
      this.resubscribeTimer = setTimeout(() => this.resubscribe(connection), resubscribeMs);
    }
  }

  private resubscribe(connection: HubConnection): void {
    if (connection === this.connection) {
      // A connection that cannot send closes, and is dialled again for that.
      this.subscribe(connection).catch(() => undefined);
    }
  }

  private read(value: unknown): LiveAction {
    try {
      return { type: 'update', at: this.now(), update: decodeUpdate(value) };
    } catch (error) {
      if (!(error instanceof DecodeError)) {
        throw error;
      }
      console.warn(`An update of the controller could not be read: ${error.message}`);
      return { type: 'unreadable' };
    }
  }

  private lose(connection: HubConnection): void {
    if (connection !== this.connection || this.stopped) {
      return;
    }
    this.connection = null;
    this.subscribed = false;
    clearTimeout(this.resubscribeTimer);
    this.resubscribeTimer = undefined;
    this.attempt++;
    const wait = retryDelay(this.attempt, this.random());
    const at = this.now();
    this.options.dispatch({ type: 'lost', at, retryAt: instant(at + wait) });
    this.retryTimer = setTimeout(() => void this.dial(), wait);
  }
}
