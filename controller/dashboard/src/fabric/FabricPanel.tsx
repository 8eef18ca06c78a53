import { useMemo, useRef, useState } from 'preact/hooks';
import { formatRateOf, formatShare } from '../format.ts';
import { useSize } from '../frame/size.ts';
import type { AgentView, LinkLoad } from '../live/records.ts';
import type { TopologyState } from '../live/topology.ts';
import { AgentShape } from '../agents/AgentSign.tsx';
import { FabricDrawing } from './FabricDrawing.tsx';
import { layOut } from './layout.ts';
import { busiest, loadStep, loadSteps, utilisation } from './load.ts';

interface Props {
  readonly fabric: TopologyState;
  readonly links: ReadonlyMap<string, LinkLoad>;
  readonly agents: ReadonlyMap<string, AgentView>;
  readonly host: string | null;
  readonly onHost: (host: string | null) => void;
}

const listed = 8;

export function FabricPanel({ fabric, links, agents, host, onHost }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const { width, height } = useSize(frame);
  const [node, setNode] = useState<string | null>(null);
  const topology = fabric.phase === 'known' ? fabric.topology : null;
  const layout = useMemo(() => (topology === null || width === 0 ? null : layOut(topology, width, height)), [topology, width, height]);
  const top = useMemo(() => busiest(links, node ?? host, listed).filter((l) => l.bitsPerSecond > 0), [links, node, host]);
  const hosts = topology?.nodes.filter((n) => n.kind === 'host').length ?? 0;
  return (
    <section class="panel fabric" id="fabric" aria-labelledby="fabric-title">
      <div class="panel-head">
        <h2 id="fabric-title">Fabric</h2>
        <p class="muted">{topology === null ? '' : `${topology.name === null ? '' : `${topology.name}, `}${hosts} hosts, ${topology.nodes.length - hosts} switches`}</p>
        <FabricLegend />
      </div>
      <div class="drawing" ref={frame} style={{ minHeight: `${layout?.minHeight ?? 60}px` }}>
        {fabric.phase === 'known' ? null : <p class="empty">{fabric.phase === 'loading' ? 'Loading the topology.' : fabric.reason}</p>}
        {layout === null ? null : (
          <FabricDrawing
            layout={layout} links={links} agents={agents} host={host} node={node}
            onPick={(picked) => (picked.kind === 'host' ? onHost(picked.id === host ? null : picked.id) : setNode(picked.id === node ? null : picked.id))}
          />
        )}
      </div>
      {layout === null ? null : (
        <div class="busiest">
          <h3>
            Busiest {node ?? host ? <>at {node ?? host}</> : 'directions'}
            {node === null ? null : <button type="button" class="button" onClick={() => setNode(null)}>all <span class="hidden">switches</span></button>}
          </h3>
          <ol>
            {top.map((l) => (
              <li key={`${l.source} ${l.target}`}>
                <span class={`load-bar load-${loadStep(utilisation(l)).name}`} aria-hidden="true"><span style={{ width: `${Math.min(100, utilisation(l) * 100)}%` }} /></span>
                <span class="direction">{l.source} → {l.target}</span> <b>{formatShare(utilisation(l))}</b>{' '}
                <span class="muted">{formatRateOf(l.bitsPerSecond, l.rateBitsPerSecond)}{l.estimated ? <abbr title="estimated: equal-cost paths taken to share evenly"> est.</abbr> : null}</span>
              </li>
            ))}
          </ol>
          {top.length === 0 ? <p class="muted">{links.size === 0 ? 'No load is known yet.' : 'All links are idle.'}</p> : null}
        </div>
      )}
    </section>
  );
}

const agentSigns = [
  { state: 'connected', label: 'connected' },
  { state: 'behind', label: 'applying' },
  { state: 'silent', label: 'silent or refused' },
  { state: 'never', label: 'never seen' },
] as const;

function FabricLegend() {
  return (
    <ul class="fabric-legend" aria-label="Legend of the drawing">
      {loadSteps.map((s) => (
        <li key={s.name}>
          <svg width="20" height="10" aria-hidden="true"><line class={`lane load-${s.name}`} x1="1" x2="19" y1="5" y2="5" stroke-width={s.width} /></svg> {s.label}
        </li>
      ))}
      <li><svg width="20" height="10" aria-hidden="true"><line class="lane load-moderate estimated" x1="1" x2="19" y1="5" y2="5" stroke-width="2.8" /></svg> estimated</li>
      {agentSigns.map((s) => (
        <li key={s.state}><svg class="agent-sign" width="14" height="14" viewBox="-7 -7 14 14" aria-hidden="true"><AgentShape state={s.state} radius={5} /></svg> {s.label}</li>
      ))}
    </ul>
  );
}
