import { useEffect, useState } from 'preact/hooks';
import { reduce, type LiveAction, type LiveState } from '../live/state.ts';

/** Shortest time between two drawings of the page, milliseconds: quicker than this nobody reads figures. */
const drawMs = 250;

/** Holds the state; everything that happens goes through `dispatch`. */
export class Store {
  private current: LiveState;
  private readonly listeners = new Set<() => void>();

  constructor(initial: LiveState) {
    this.current = initial;
  }

  get state(): LiveState {
    return this.current;
  }

  readonly dispatch = (action: LiveAction): LiveState => {
    const next = reduce(this.current, action);
    if (next !== this.current) {
      this.current = next;
      for (const listener of this.listeners) {
        listener();
      }
    }
    return next;
  };

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

/** The store's state, drawn at once after a pause and at most every `drawMs` in a stream of updates. */
export function useStore(store: Store): LiveState {
  const [state, setState] = useState(store.state);
  useEffect(() => {
    let last = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = (): void => {
      timer = undefined;
      last = performance.now();
      setState(store.state);
    };
    const unsubscribe = store.subscribe(() => {
      timer ??= setTimeout(draw, Math.max(0, last + drawMs - performance.now()));
    });
    draw();
    return () => {
      unsubscribe();
      clearTimeout(timer);
    };
  }, [store]);
  return state;
}
