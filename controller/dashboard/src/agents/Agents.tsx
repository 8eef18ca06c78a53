import { useState } from 'preact/hooks';
import { counted, formatAge, formatCount } from '../format.ts';
import type { AgentView } from '../live/records.ts';
import type { Instant } from '../units.ts';
import { AgentSign } from './AgentSign.tsx';
import { agentState, byNeed, formatRevision, formatVersion, hasTrouble, isBehind } from './standing.ts';

/** Rows drawn at once; the rest on demand. */
const few = 100;

interface Props {
  readonly agents: ReadonlyMap<string, AgentView>;
  /** The controller's clock. */
  readonly now: Instant;
  readonly host: string | null;
  readonly onHost: (host: string | null) => void;
}

/** What it acknowledged, and what it should have where that is another. */
function Policy({ agent }: { readonly agent: AgentView }) {
  const [acknowledged, desired] = [formatRevision(agent.acknowledged), formatRevision(agent.desired)];
  return acknowledged === desired ? (
    <>{acknowledged} <span class="good-sign" role="img" aria-label="as desired" title="as desired">✓</span></>
  ) : (
    <><span class="hidden">acknowledged </span>{acknowledged} <span aria-hidden="true">→</span><span class="hidden">, desired</span> {desired}</>
  );
}

export function Agents({ agents, now, host, onHost }: Props) {
  const [all, setAll] = useState(false);
  const [onlyTrouble, setOnlyTrouble] = useState(false);
  const everyone = [...agents.values()].sort(byNeed);
  const matching = onlyTrouble ? everyone.filter((a) => hasTrouble(a) || isBehind(a)) : everyone;
  const shown = all ? matching : matching.slice(0, few);
  const troubled = everyone.filter(hasTrouble).length;
  return (
    <section class="panel agents" id="agents" aria-labelledby="agents-title">
      <div class="panel-head">
        <h2 id="agents-title">Agents</h2>
        <p class="muted">{counted(everyone.length, 'host')}{troubled > 0 ? `, ${formatCount(troubled)} need a look` : ''}</p>
        <label class="check"><input type="checkbox" checked={onlyTrouble} onChange={(e) => setOnlyTrouble(e.currentTarget.checked)} /> Only those with trouble</label>
      </div>
      <div class="scroll" role="region" aria-label="Table of agents" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">Host</th>
              <th scope="col">State</th>
              <th scope="col" title="Policy it last acknowledged, and the one that it should have where that is another; term.generation">Policy</th>
              <th scope="col" title="First digits of the hash of what the kernel holds">Hash</th>
              <th scope="col" class="num" title="Frames the kernel dropped before they were counted, and flow records lost">Drops/lost</th>
              <th scope="col">Version</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((a) => (
              <tr key={a.host} data-agent={a.host} class={a.host === host ? 'selected' : ''}>
                <th scope="row">
                  <button type="button" class="link" aria-pressed={a.host === host} onClick={() => onHost(a.host === host ? null : a.host)} title={`Show the flows of ${a.host}`}>{a.host}</button>
                </th>
                <td class="wrap">
                  <span class="nowrap"><AgentSign agent={a} /> {agentState(a)}{a.state === 'silent' && a.lastSeen !== null ? `, seen ${formatAge(a.lastSeen, now)}` : ''}</span>
                  {a.error === null ? null : <div class="bad">{a.error}</div>}
                  {a.troubles.map((t) => <div key={t} class="bad">{t}</div>)}
                  {a.limits.map((l) => <div key={l} class="muted">{l}</div>)}
                </td>
                <td class={isBehind(a) ? 'nowrap behind' : 'nowrap'}><Policy agent={a} /></td>
                <td><code title={a.hash ?? ''}>{a.hash === null || a.hash === '' ? '–' : a.hash.slice(0, 8)}</code></td>
                <td class={a.kernelDrops > 0 || a.lostRecords > 0 ? 'num bad' : 'num'}>{formatCount(a.kernelDrops)}/{formatCount(a.lostRecords)}</td>
                <td title={a.version ?? ''}>{a.version === null ? '–' : formatVersion(a.version)}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {matching.length === 0 ? <p class="empty">{onlyTrouble ? 'No agent has trouble.' : 'No hosts are known.'}</p> : null}
      </div>
      {matching.length > few ? <button type="button" class="button" aria-expanded={all} onClick={() => setAll(!all)}>{all ? 'Show fewer' : `Show all ${matching.length}`}</button> : null}
    </section>
  );
}
