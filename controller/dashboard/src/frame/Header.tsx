import { busiest, utilisation } from '../fabric/load.ts';
import { formatClock, formatCount, formatRate, formatShare } from '../format.ts';
import { hasTrouble } from '../agents/standing.ts';
import { isRunning } from '../jobs/standing.ts';
import type { LiveState } from '../live/state.ts';
import { bitsPerSecond, type Instant } from '../units.ts';
import { ThemeButton } from './ThemeButton.tsx';

/** Below this share a link is not worth a name, 0..1: it would be shown as 0 %. */
const idle = 0.005;

/** What an operator wants to know first, in one line. */
export function Header({ live, now }: { readonly live: LiveState; readonly now: Instant }) {
  const running = [...live.jobs.values()].filter(isRunning);
  const agents = [...live.agents.values()];
  const connected = agents.filter((a) => a.state === 'connected').length;
  const total = [...live.flows.values()].reduce((sum, f) => sum + f.rateBitsPerSecond, 0);
  const hottest = busiest(live.links, null, 1)[0];
  const known = live.time !== null;
  return (
    <header class="top">
      <h1><span class="brand" aria-hidden="true" />MLNet SDN</h1>
      <dl class="figures">
        <Figure name="Jobs running" value={known ? formatCount(running.length) : '–'} bad={running.some((j) => j.troubles.length > 0)} />
        <Figure name="Agents connected" value={known ? `${formatCount(connected)} of ${formatCount(agents.length)}` : '–'} bad={agents.some(hasTrouble)} />
        <Figure name="Flows" value={known ? `${formatCount(live.flows.size + live.flowsHidden)} · ${formatRate(bitsPerSecond(total))}` : '–'} />
        <Figure
          name="Busiest link" value={hottest === undefined ? '–' : utilisation(hottest) < idle ? 'none' : `${hottest.source} → ${hottest.target} · ${formatShare(utilisation(hottest))}`}
        />
        <Figure name="Pairs losing marks" value={known ? formatCount(live.markingFaults.length) : '–'} bad={live.markingFaults.length > 0} />
      </dl>
      <div class="corner">
        <ConnectionBadge live={live} now={now} />
        <ThemeButton />
      </div>
    </header>
  );
}

function Figure({ name, value, bad = false }: { readonly name: string; readonly value: string; readonly bad?: boolean }) {
  return (
    <div class={bad ? 'figure bad' : 'figure'}>
      <dt>{name}</dt>
      <dd>{bad ? <span class="bad-sign" role="img" aria-label="trouble:">▲</span> : null}{value}</dd>
    </div>
  );
}

function ConnectionBadge({ live, now }: { readonly live: LiveState; readonly now: Instant }) {
  const { connection } = live;
  switch (connection.phase) {
    case 'live':
      return <p class="badge good" data-connection="live" title={`Live since ${formatClock(connection.since)}`}><span aria-hidden="true">●</span> Live</p>;
    case 'connecting':
      return <p class="badge wait" data-connection="connecting"><span aria-hidden="true">◌</span> Connecting</p>;
    case 'lost': {
      const wait = Math.max(0, Math.ceil((connection.retryAt - now) / 1000));
      return <p class="badge poor" data-connection="lost"><span aria-hidden="true">✕</span> Disconnected<span class="wide-only">, retry in {wait} s</span></p>;
    }
  }
}
