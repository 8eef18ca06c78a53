import { useState } from 'preact/hooks';
import { byName, counted, formatBytes, formatClock } from '../format.ts';
import type { MarkingFault, MarkingSuspect } from '../live/records.ts';
import { Dscp } from './Dscp.tsx';

const few = 6;

interface Props {
  readonly faults: readonly MarkingFault[];
  readonly suspects: readonly MarkingSuspect[];
  readonly onHost: (host: string) => void;
}

/** Pairs of hosts between which marks do not arrive; nothing when there are none. */
export function MarkingFaults({ faults, suspects, onHost }: Props) {
  const [all, setAll] = useState(false);
  if (faults.length === 0) {
    return null;
  }
  const sorted = [...faults].sort((a, b) => b.octets - a.octets || byName(a.source, b.source) || byName(a.destination, b.destination));
  const shown = all ? sorted : sorted.slice(0, few);
  return (
    <section class="panel faults" aria-labelledby="faults-title">
      <div class="panel-head">
        <h2 id="faults-title"><span class="bad-sign" aria-hidden="true">▲</span> Marks that do not arrive</h2>
        <p class="muted">{counted(faults.length, 'pair')} of hosts. Something between them rewrites the DSCP, so their traffic is queued as if it were another class.</p>
      </div>
      {suspects.length > 0 ? (
        <ul class="suspects" aria-label="Switches suspected">
          {suspects.map((s) => (
            <li key={`${s.switch} ${s.neighbour ?? ''} ${s.fault}`} title={s.reason}>
              <span>Suspected{s.fault > 0 ? ' besides' : ''}: switch <strong>{s.switch}</strong>{s.neighbour === null ? '' : `, port to ${s.neighbour}`} ({Math.round(s.confidence * 100)} %)</span>
              <span class="muted"> {s.reason}</span>
            </li>
          ))}
        </ul>
      ) : null}
      <ul>
        {shown.map((f) => (
          <li key={`${f.source} ${f.destination} ${f.sent} ${f.arrived}`}>
            <span>
              Marks from <HostLink host={f.source} onHost={onHost} /> to <HostLink host={f.destination} onHost={onHost} /> arrive as <Dscp dscp={f.arrived} />, sent <Dscp dscp={f.sent} />
            </span>
            <span class="muted nowrap"> {formatBytes(f.octets)}, {formatClock(f.since)} to {formatClock(f.lastSeen)}</span>
          </li>
        ))}
      </ul>
      {faults.length > few ? (
        <button type="button" class="button" aria-expanded={all} onClick={() => setAll(!all)}>{all ? 'Show fewer' : `Show all ${faults.length}`}</button>
      ) : null}
    </section>
  );
}

function HostLink({ host, onHost }: { readonly host: string; readonly onHost: (host: string) => void }) {
  return <button type="button" class="link" onClick={() => onHost(host)} title={`Show the flows of ${host}`}>{host}</button>;
}
