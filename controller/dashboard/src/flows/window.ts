import type { RefObject } from 'preact';
import { useEffect, useState } from 'preact/hooks';

/** Rows of a long table that are drawn: from `first` up to, not including, `end`. */
export interface RowWindow {
  readonly first: number;
  readonly end: number;
}

/** Rows drawn above and below what is visible, so that a scroll shows no gap before the next drawing. */
const overscan = 12;

/** The rows to draw for a scroll position. Never more than fit, whatever the number of rows. */
export function rowWindow(rows: number, rowHeight: number, scrollTop: number, height: number): RowWindow {
  const last = Math.max(0, rows - Math.ceil(height / rowHeight));
  const top = Math.min(Math.max(0, Math.floor(scrollTop / rowHeight)), last);
  return { first: Math.max(0, top - overscan), end: Math.min(rows, top + Math.ceil(height / rowHeight) + overscan) };
}

/** The window of a scrolling element, followed as it scrolls. */
export function useRowWindow(ref: RefObject<HTMLElement | null>, rows: number, rowHeight: number): RowWindow {
  const [view, setView] = useState({ top: 0, height: 600 });
  useEffect(() => {
    const element = ref.current;
    if (element === null) {
      return undefined;
    }
    // One step of a row at a time: scrolling within a row draws nothing anew.
    const read = (): void => {
      const top = Math.floor(element.scrollTop / rowHeight) * rowHeight;
      setView((v) => (v.top === top && v.height === element.clientHeight ? v : { top, height: element.clientHeight }));
    };
    read();
    element.addEventListener('scroll', read, { passive: true });
    const observer = new ResizeObserver(read);
    observer.observe(element);
    return () => {
      element.removeEventListener('scroll', read);
      observer.disconnect();
    };
  }, [ref, rowHeight]);
  return rowWindow(rows, rowHeight, view.top, view.height);
}
