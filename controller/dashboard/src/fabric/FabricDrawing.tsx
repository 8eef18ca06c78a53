import { useMemo, useRef, useState } from 'preact/hooks';
import { AgentShape, agentClass } from '../agents/AgentSign.tsx';
import { agentState } from '../agents/standing.ts';
import { formatRateOf, formatShare } from '../format.ts';
import type { AgentView, LinkLoad } from '../live/records.ts';
import { linkKey } from '../live/state.ts';
import { loadStep, loadsOf, utilisation } from './load.ts';
import type { FabricLayout, PlacedLink, PlacedNode } from './layout.ts';
import { step } from './keys.ts';

interface Props {
  readonly layout: FabricLayout;
  readonly links: ReadonlyMap<string, LinkLoad>;
  readonly agents: ReadonlyMap<string, AgentView>;
  /** Host whose flows are shown. */
  readonly host: string | null;
  /** Switch whose links are listed. */
  readonly node: string | null;
  readonly onPick: (node: PlacedNode) => void;
}

type Pointed = { readonly kind: 'node'; readonly node: PlacedNode } | { readonly kind: 'link'; readonly link: PlacedLink } | null;

/** Half the distance between the two directions of a link, pixels. */
const apart = 3.2;

/** The fabric, hosts at the bottom. One stop of the tabulator; arrow keys move among the nodes. */
export function FabricDrawing({ layout, links, agents, host, node, onPick }: Props) {
  const [pointed, setPointed] = useState<Pointed>(null);
  const [current, setCurrent] = useState<string | null>(null);
  const svg = useRef<SVGSVGElement>(null);
  const focusable = current !== null && layout.nodes.has(current) ? current : layout.layers.find((l) => l.length > 0)?.[0]?.id ?? null;
  const neighbours = useMemo(() => {
    const result = new Map<string, string[]>();
    for (const key of links.keys()) {
      const [a, b] = key.split('\n') as [string, string];
      result.set(a, [...(result.get(a) ?? []), b]);
      result.set(b, [...(result.get(b) ?? []), a]);
    }
    return result;
  }, [layout, links.size]);

  const keyDown = (e: KeyboardEvent, from: PlacedNode): void => {
    if (e.key === 'Enter' || e.key === ' ') {
      onPick(from);
      e.preventDefault();
      return;
    }
    if (e.key === 'Escape') {
      setPointed(null);
      return;
    }
    const to = step(layout, from, e.key);
    if (to !== null) {
      setCurrent(to.id);
      svg.current?.querySelector<SVGGElement>(`[data-node="${CSS.escape(to.id)}"]`)?.focus();
      e.preventDefault();
    }
  };

  return (
    <div class="drawing-frame" onPointerLeave={() => setPointed(null)}>
      <svg ref={svg} width={layout.width} height={layout.height} role="group" aria-label="Drawing of the fabric. Arrow keys move among its nodes, Enter chooses one.">
        <g>
          {layout.links.map((l) => (
            <Link
              key={`${l.a.id}\n${l.b.id}`} link={l} up={links.get(linkKey(l.a.id, l.b.id))} down={links.get(linkKey(l.b.id, l.a.id))}
              scale={layout.named ? 1 : 0.5} marked={pointed?.kind === 'link' && pointed.link === l} onPoint={setPointed}
            />
          ))}
        </g>
        {layout.layers.flat().map((n) => (
          <g
            key={n.id} data-node={n.id} transform={`translate(${n.x.toFixed(1)} ${n.y})`} role="button" tabindex={n.id === focusable ? 0 : -1}
            class={`node ${n.kind}${n.id === host || n.id === node ? ' picked' : ''}`} aria-pressed={n.id === host || n.id === node}
            aria-label={describe(n, agents.get(n.id))}
            onClick={() => { setCurrent(n.id); onPick(n); }} onKeyDown={(e) => keyDown(e, n)}
            onFocus={() => { setCurrent(n.id); setPointed({ kind: 'node', node: n }); }} onBlur={() => setPointed(null)}
            onPointerEnter={() => setPointed({ kind: 'node', node: n })}
          >
            <NodeShape node={n} agent={agents.get(n.id)} dense={layout.dense} named={layout.named} load={layout.dense && n.kind === 'host' ? hostLoad(n, neighbours, links) : 0} />
          </g>
        ))}
      </svg>
      {pointed === null ? null : <Tip pointed={pointed} layout={layout} links={links} agents={agents} neighbours={neighbours} />}
    </div>
  );
}

function hostLoad(host: PlacedNode, neighbours: ReadonlyMap<string, readonly string[]>, links: ReadonlyMap<string, LinkLoad>): number {
  return Math.max(0, ...loadsOf(links, host.id, neighbours.get(host.id) ?? []).flatMap((l) => [l.out, l.in]).map((l) => (l === undefined ? 0 : utilisation(l))));
}

function describe(node: PlacedNode, agent: AgentView | undefined): string {
  return node.kind === 'host' ? `Host ${node.id}, agent ${agent === undefined ? 'unknown' : agentState(agent)}` : `Switch ${node.id}${node.node.tier === null ? '' : `, ${node.node.tier}`}`;
}

interface ShapeProps {
  readonly node: PlacedNode;
  readonly agent: AgentView | undefined;
  readonly dense: boolean;
  readonly named: boolean;
  /** Utilisation of the host's link, 0..1; drawn where hosts are dense. */
  readonly load: number;
}

/** Longest name that is written out; the rest is in the tip. */
const longestName = 8;
const shortName = (id: string): string => (id.length > longestName ? `${id.slice(0, longestName - 1)}…` : id);

function NodeShape({ node, agent, dense, named, load }: ShapeProps) {
  if (node.kind === 'switch') {
    const name = shortName(node.id);
    const half = named ? Math.max(17, name.length * 3.2 + 4) : 5;
    return (
      <>
        <rect class="hit" x={-half - 3} y={-14} width={2 * half + 6} height={28} />
        <rect class="body" x={-half} y={-11} width={2 * half} height={22} rx={named ? 4 : 2} />
        {named ? <text y={4} text-anchor="middle">{name}</text> : null}
      </>
    );
  }
  if (dense) {
    return (
      <>
        <rect class={`cell load-${loadStep(load).name}`} x={-6} y={-6} width={12} height={12} rx={2} />
        {agentClass(agent) === 'connected' ? null : <AgentShape state={agentClass(agent)} radius={3.5} />}
      </>
    );
  }
  return (
    <>
      <rect class="hit" x={-21} y={-12} width={42} height={42} />
      <AgentShape state={agentClass(agent)} radius={8} />
      <text y={23} text-anchor="middle">{shortName(node.id)}</text>
    </>
  );
}

interface LinkProps {
  readonly link: PlacedLink;
  readonly up: LinkLoad | undefined;
  readonly down: LinkLoad | undefined;
  /** Of the lines' widths and distance. */
  readonly scale: number;
  readonly marked: boolean;
  readonly onPoint: (pointed: Pointed) => void;
}

/** Both directions of a link side by side; each keeps to the right as it goes, like traffic. */
function Link({ link, up, down, scale, marked, onPoint }: LinkProps) {
  const drawn = [up, down].map((load) => (load === undefined ? '' : `${loadStep(utilisation(load)).name}${load.estimated ? ' estimated' : ''}`));
  return useMemo(() => {
    const { a, b } = link;
    const length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
    const dx = (-(b.y - a.y) / length) * apart * scale;
    const dy = ((b.x - a.x) / length) * apart * scale;
    const line = (load: LinkLoad | undefined, sign: number) => {
      const loadShown = loadStep(load === undefined ? 0 : utilisation(load));
      return (
        <line
          class={`lane load-${loadShown.name}${load?.estimated === true ? ' estimated' : ''}`} stroke-width={loadShown.width * scale}
          x1={a.x + sign * dx} y1={a.y + sign * dy} x2={b.x + sign * dx} y2={b.y + sign * dy}
        />
      );
    };
    return (
      <g class={marked ? 'pair marked' : 'pair'} data-link={`${a.id} ${b.id}`} onPointerEnter={() => onPoint({ kind: 'link', link })}>
        <line class="lane-hit" x1={a.x} y1={a.y} x2={b.x} y2={b.y} />
        {line(up, 1)}
        {line(down, -1)}
      </g>
    );
  }, [link, drawn[0], drawn[1], scale, marked]);
}

interface TipProps {
  readonly pointed: Exclude<Pointed, null>;
  readonly layout: FabricLayout;
  readonly links: ReadonlyMap<string, LinkLoad>;
  readonly agents: ReadonlyMap<string, AgentView>;
  readonly neighbours: ReadonlyMap<string, readonly string[]>;
}

/** Figures of what is pointed at or focused. */
function Tip({ pointed, layout, links, agents, neighbours }: TipProps) {
  const place = pointed.kind === 'node' ? pointed.node : { x: (pointed.link.a.x + pointed.link.b.x) / 2, y: (pointed.link.a.y + pointed.link.b.y) / 2 };
  const rows =
    pointed.kind === 'node'
      ? loadsOf(links, pointed.node.id, neighbours.get(pointed.node.id) ?? []).flatMap((l) => [l.out, l.in])
      : [links.get(linkKey(pointed.link.a.id, pointed.link.b.id)), links.get(linkKey(pointed.link.b.id, pointed.link.a.id))];
  const known = rows.filter((r) => r !== undefined);
  const agent = pointed.kind === 'node' ? agents.get(pointed.node.id) : undefined;
  const toRight = place.x > layout.width * 0.55;
  const below = place.y < layout.height * 0.4;
  return (
    <div
      class="tip" role="tooltip"
      style={{
        ...(toRight ? { right: `${layout.width - place.x + 14}px` } : { left: `${place.x + 14}px` }),
        ...(below ? { top: `${place.y + 10}px` } : { bottom: `${layout.height - place.y + 10}px` }),
      }}
    >
      <b>{pointed.kind === 'node' ? describe(pointed.node, agent) : `${pointed.link.a.id} – ${pointed.link.b.id}`}</b>
      {agent?.error === null || agent?.error === undefined ? null : <p class="bad">{agent.error}</p>}
      <table>
        <tbody>
          {known.map((l) => (
            <tr key={`${l.source} ${l.target}`}>
              <th scope="row">{l.source} → {l.target}</th>
              <td class="num">{formatRateOf(l.bitsPerSecond, l.rateBitsPerSecond)}</td>
              <td class="num"><b>{formatShare(utilisation(l))}</b></td>
              <td>{l.estimated ? 'estimated' : ''}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {known.length === 0 ? <p class="muted">No load is known.</p> : null}
    </div>
  );
}
