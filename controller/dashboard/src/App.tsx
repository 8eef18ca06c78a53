import { useEffect, useMemo, useState } from 'preact/hooks';
import { Agents } from './agents/Agents.tsx';
import { FabricPanel } from './fabric/FabricPanel.tsx';
import { FlowTable } from './flows/FlowTable.tsx';
import { Header } from './frame/Header.tsx';
import { Legend } from './frame/Legend.tsx';
import { MarkingFaults } from './frame/MarkingFaults.tsx';
import { Notices } from './frame/Notices.tsx';
import { useStore, type Store } from './frame/store.ts';
import { Jobs } from './jobs/Jobs.tsx';
import type { LiveFilter } from './live/records.ts';
import type { LiveSession } from './live/session.ts';
import { controllerNow, staleSince } from './live/state.ts';
import type { TopologyFeed, TopologyState } from './live/topology.ts';
import { RatePanel } from './rates/RatePanel.tsx';
import { instant, type Instant } from './units.ts';

interface Props {
  readonly store: Store;
  readonly topology: Pick<TopologyFeed, 'state' | 'onChange' | 'hint'>;
  readonly session: Pick<LiveSession, 'watch' | 'retryNow'>;
}

/** The whole page. Parts that did not change are not drawn again. */
export function App({ store, topology, session }: Props) {
  const live = useStore(store);
  const fabric = useTopology(topology);
  const now = useSecond();
  const [job, setJob] = useState<string | null>(null);
  const [host, setHost] = useState<string | null>(null);

  // Flows are chosen here, so that the figures of the other jobs stay; only when the controller had to leave some out is it asked for a choice.
  const { filter, flowsHidden } = live;
  useEffect(() => {
    const narrowed = filter.job !== null || filter.host !== null;
    if (!narrowed && flowsHidden === 0) {
      return;
    }
    // The controller has no filter for flows without a job.
    const wanted: LiveFilter = { ...filter, job: job === '' ? null : job, host };
    if (wanted.job !== filter.job || wanted.host !== filter.host) {
      session.watch(wanted);
    }
  }, [filter, flowsHidden, job, host, session]);

  useEffect(() => {
    if (fabric.phase === 'known') {
      const nodes = new Set(fabric.topology.nodes.map((n) => n.id));
      if ([...live.agents.keys()].some((a) => !nodes.has(a)) || [...live.links.values()].some((l) => !nodes.has(l.source) || !nodes.has(l.target))) {
        topology.hint();
      }
    }
  }, [fabric, live.agents, live.links, topology]);

  const stale = staleSince(live) !== null;
  const serverNow = controllerNow(live, stale ? staleSince(live)! : now);
  return (
    <>
      <a class="skip" href="#flows">Skip to flows</a>
      <Header live={live} now={now} />
      <main class={stale ? 'stale' : ''}>
        <Notices live={live} now={now} onRetry={() => session.retryNow()} />
        {useMemo(() => <MarkingFaults faults={live.markingFaults} suspects={live.markingSuspects} onHost={setHost} />, [live.markingFaults, live.markingSuspects])}
        <div class="grid">
          {useMemo(() => <Jobs jobs={live.jobs} known={live.time !== null} selected={job} onSelect={setJob} />, [live.jobs, live.time === null, job])}
          {useMemo(
            () => <FabricPanel fabric={fabric} links={live.links} agents={live.agents} host={host} onHost={setHost} />,
            [fabric, live.links, live.agents, host],
          )}
          {useMemo(() => <RatePanel rates={live.rates} now={now} />, [live.rates, now])}
          <FlowTable
            flows={live.flows} hidden={live.flowsHidden} jobs={live.jobs} now={serverNow} job={job} host={host} onJob={setJob} onHost={setHost}
          />
          {useMemo(() => <Agents agents={live.agents} now={serverNow} host={host} onHost={setHost} />, [live.agents, serverNow, host])}
        </div>
      </main>
      <Legend />
    </>
  );
}

function useTopology(feed: Props['topology']): TopologyState {
  const [state, setState] = useState(feed.state);
  useEffect(() => {
    feed.onChange(() => setState(feed.state));
    setState(feed.state);
    return () => feed.onChange(() => undefined);
  }, [feed]);
  return state;
}

/** This browser's clock, once a second. */
function useSecond(): Instant {
  const [now, setNow] = useState(() => instant(Date.now()));
  useEffect(() => {
    const timer = setInterval(() => setNow(instant(Date.now())), 1_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
