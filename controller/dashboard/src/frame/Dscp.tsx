import { dscpClass } from '../dscp.ts';

/** A code point with its colour. The name always stands beside it: colour alone tells nothing. */
export function Dscp({ dscp, level }: { readonly dscp: string | null; readonly level?: number }) {
  if (dscp === null) {
    return <span class="muted" title="not reported yet">–</span>;
  }
  return (
    <span class="dscp">
      <span class={`swatch ${dscpClass(dscp)}`} aria-hidden="true" />
      {dscp}
      {level === undefined ? null : <span class="muted"> {level === 0 ? 'unmarked' : `level ${level}`}</span>}
    </span>
  );
}
