import { ladder } from '../dscp.ts';
import { Dscp } from './Dscp.tsx';

/** What the colours of the code points mean, highest class first. */
export function Legend() {
  return (
    <footer class="legend" aria-label="Legend of priority classes">
      <span class="muted">Priority, high to low</span>
      <ul>
        {ladder.map((c) => <li key={c.dscp}><Dscp dscp={c.dscp} /> <span class="muted">{c.use}</span></li>)}
        <li><span class="dscp"><span class="swatch dscp-other" aria-hidden="true" />any other</span> <span class="muted">not one of ours</span></li>
      </ul>
      <span class="muted">Rates are bit/s, amounts bytes, both decimal. Times are this browser's.</span>
    </footer>
  );
}
