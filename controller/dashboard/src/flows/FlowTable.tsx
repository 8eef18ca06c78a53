import { useMemo, useRef, useState } from 'preact/hooks';
import { byName, counted, formatAge, formatBytes, formatCount, formatProtocol, formatRate } from '../format.ts';
import { Dscp } from '../frame/Dscp.tsx';
import { isRunning } from '../jobs/standing.ts';
import type { JobView, LiveFlow } from '../live/records.ts';
import type { Instant } from '../units.ts';
import { arrange, mismatched, plannedInstead, type FlowColumn, type FlowQuery, type FlowSort } from './order.ts';
import { useRowWindow } from './window.ts';

/** Height of a row, pixels; the style sheet has the same. */
const rowHeight = 26;
/** How long rows stand before they are sorted anew, milliseconds, so that the eye can follow. */
const settleMs = 2_000;
const noJob = '(none)';

interface Props {
  readonly flows: ReadonlyMap<string, LiveFlow>;
  readonly hidden: number;
  readonly jobs: ReadonlyMap<number, JobView>;
  /** The controller's clock. */
  readonly now: Instant;
  readonly job: string | null;
  readonly host: string | null;
  readonly onJob: (job: string | null) => void;
  readonly onHost: (host: string | null) => void;
}

const columns: readonly { readonly column: FlowColumn; readonly label: string; readonly number?: boolean; readonly title?: string }[] = [
  { column: 'job', label: 'Job' },
  { column: 'role', label: 'Role' },
  { column: 'source', label: 'Source' },
  { column: 'destination', label: 'Destination' },
  { column: 'rate', label: 'Rate', number: true, title: 'Over the last report interval' },
  { column: 'sent', label: 'Sent', title: 'DSCP as it left the sender' },
  { column: 'arrived', label: 'Arrived', title: 'DSCP as it reached the receiver' },
  { column: 'octets', label: 'Octets', number: true, title: 'IP bytes since the flow began' },
  { column: 'lastSeen', label: 'Last seen', number: true },
];

/** Columns that people want to see from the top down first. */
const fromTheTop: ReadonlySet<FlowColumn> = new Set(['rate', 'octets', 'lastSeen']);

export function FlowTable({ flows, hidden, jobs, now, job, host, onJob, onHost }: Props) {
  const [text, setText] = useState('');
  const [onlyMismatched, setOnlyMismatched] = useState(false);
  const [sort, setSort] = useState<FlowSort>({ column: 'rate', descending: true });
  const [hold, setHold] = useState(false);
  const [touched, setTouched] = useState(false);
  const [paused, setPaused] = useState<{ readonly flows: ReadonlyMap<string, LiveFlow>; readonly now: Instant } | null>(null);
  const scroller = useRef<HTMLDivElement>(null);

  const source = paused?.flows ?? flows;
  const query = useMemo<FlowQuery>(() => ({ text, job, host, onlyMismatched }), [text, job, host, onlyMismatched]);
  const rows = useSettled(source, query, sort, hold || touched || paused !== null);
  const { first, end } = useRowWindow(scroller, rows.length, rowHeight);
  const fastest = useMemo(() => rows.reduce((most, f) => Math.max(most, f.rateBitsPerSecond), 1), [rows]);
  const wrong = useMemo(() => [...source.values()].filter(mismatched).length, [source]);
  const plans = useMemo(() => new Map([...jobs.values()].flatMap((j) => (j.plan === null ? [] : [[j.spec.name, j.plan] as const]))), [jobs]);
  const names = useMemo(
    () => [...new Set([...[...jobs.values()].filter(isRunning).map((j) => j.spec.name), ...(job === null || job === '' ? [] : [job])])].sort(byName),
    [jobs, job],
  );

  const sortBy = (column: FlowColumn): void => {
    setSort((s) => (s.column === column ? { column, descending: !s.descending } : { column, descending: fromTheTop.has(column) }));
    scroller.current?.scrollTo({ top: 0 });
  };

  return (
    <section class="panel flows" id="flows" aria-labelledby="flows-title" tabIndex={-1}>
      <div class="panel-head">
        <h2 id="flows-title">Flows</h2>
        <p class="muted" data-flow-count={rows.length}>
          {rows.length === source.size ? counted(rows.length, 'flow') : `${formatCount(rows.length)} of ${counted(source.size, 'flow')}`}
          {hidden > 0 ? `; ${counted(hidden, 'slower flow')} not sent by the controller` : ''}
          {paused !== null ? '; paused' : hold || touched ? '; order held' : ''}
        </p>
        <div class="tools">
          <input
            type="search" placeholder="Filter: host, port, role, DSCP" aria-label="Filter flows by words" value={text}
            onInput={(e) => setText(e.currentTarget.value)}
          />
          <select
            aria-label="Job" value={job === null ? '' : job === '' ? noJob : job}
            onChange={(e) => onJob(e.currentTarget.value === '' ? null : e.currentTarget.value === noJob ? '' : e.currentTarget.value)}
          >
            <option value="">All jobs</option>
            {names.map((n) => <option key={n} value={n}>{n}</option>)}
            <option value={noJob}>Without a job</option>
          </select>
          {host === null ? null : (
            <button type="button" class="button active" onClick={() => onHost(null)} title="Show the flows of all hosts">Host {host} <span aria-hidden="true">✕</span><span class="hidden"> – show all</span></button>
          )}
          <label class="check"><input type="checkbox" checked={onlyMismatched} onChange={(e) => setOnlyMismatched(e.currentTarget.checked)} /> Mark lost{wrong > 0 ? ` (${formatCount(wrong)})` : ''}</label>
          <label class="check" title="Rows keep their places; figures go on changing"><input type="checkbox" checked={hold} onChange={(e) => setHold(e.currentTarget.checked)} /> Hold order</label>
          <button type="button" class={paused === null ? 'button' : 'button active'} aria-pressed={paused !== null} onClick={() => setPaused(paused === null ? { flows, now } : null)}>
            {paused === null ? 'Pause' : 'Resume'}
          </button>
        </div>
      </div>
      <div
        class="scroll tall" ref={scroller} role="region" aria-label="Table of flows" tabIndex={0}
        // Rows do not move away from under the pointer.
        onPointerEnter={(e) => setTouched(e.pointerType === 'mouse')} onPointerLeave={() => setTouched(false)}
      >
        <table aria-rowcount={rows.length + 1} class="fixed">
          <thead>
            <tr aria-rowindex={1}>
              {columns.map((c) => (
                <th key={c.column} scope="col" class={`c-${c.column}${c.number ? ' num' : ''}`} aria-sort={sort.column !== c.column ? 'none' : sort.descending ? 'descending' : 'ascending'}>
                  <button type="button" class="sort" onClick={() => sortBy(c.column)} title={c.title ?? ''}>
                    {c.label}<span aria-hidden="true">{sort.column !== c.column ? '' : sort.descending ? ' ↓' : ' ↑'}</span>
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {first > 0 ? <tr class="spacer" aria-hidden="true"><td colSpan={columns.length} style={{ height: `${first * rowHeight}px` }} /></tr> : null}
            {rows.slice(first, end).map((f, i) => <FlowRow key={f.key} flow={f} index={first + i} fastest={fastest} planned={plannedInstead(f, plans)} now={paused?.now ?? now} />)}
            {end < rows.length ? <tr class="spacer" aria-hidden="true"><td colSpan={columns.length} style={{ height: `${(rows.length - end) * rowHeight}px` }} /></tr> : null}
          </tbody>
        </table>
        {rows.length === 0 ? <p class="empty">{source.size === 0 ? 'No flow is seen.' : 'No flow matches.'}</p> : null}
      </div>
    </section>
  );
}

interface RowProps {
  readonly flow: LiveFlow;
  readonly index: number;
  readonly fastest: number;
  readonly planned: string | null;
  readonly now: Instant;
}

function FlowRow({ flow: f, index, fastest, planned, now }: RowProps) {
  const wrong = mismatched(f);
  return (
    <tr aria-rowindex={index + 2} data-flow={f.key} class={wrong ? 'wrong' : ''}>
      <td>{f.job ?? <span class="muted">none</span>}</td>
      <td>{f.role ?? <span class="muted">–</span>}</td>
      <td>{f.source}<span class="muted">:{f.sourcePort}</span></td>
      <td>{f.destination}<span class="muted">:{f.destinationPort}</span>{f.protocol === 6 ? null : <span class="muted"> {formatProtocol(f.protocol)}</span>}</td>
      <td class="num rate">
        <span class="bar" style={{ width: `${Math.min(100, (100 * f.rateBitsPerSecond) / fastest)}%` }} aria-hidden="true" />
        <span class="over">{formatRate(f.rateBitsPerSecond)}</span>
      </td>
      <td><Dscp dscp={f.dscpSent} />{planned === null ? null : <span class="wait-sign" title={`The plan says ${planned}`}>plan: {planned}</span>}</td>
      <td><Dscp dscp={f.dscpArrived} />{wrong ? <span class="bad-sign" role="img" aria-label="not as sent" title="Not as sent">▲</span> : null}</td>
      <td class="num">{formatBytes(f.octets)}</td>
      <td class="num">{formatAge(f.lastSeen, now)}</td>
    </tr>
  );
}

/** The rows in an order that is held, or renewed at once by a change of the query and every `settleMs` else. */
function useSettled(flows: ReadonlyMap<string, LiveFlow>, query: FlowQuery, sort: FlowSort, hold: boolean): readonly LiveFlow[] {
  const order = useRef<{ readonly keys: readonly string[]; readonly at: number; readonly query: FlowQuery; readonly sort: FlowSort } | null>(null);
  return useMemo(() => {
    const at = performance.now();
    const before = order.current;
    const same = before !== null && before.query === query && before.sort === sort;
    const keep = same && (hold || at - before.at < settleMs);
    const rows = arrange(flows, query, sort, keep ? before.keys : null);
    order.current = { keys: rows.map((f) => f.key), at: keep ? before.at : at, query, sort };
    return rows;
  }, [flows, query, sort, hold]);
}
