// The page with invented data instead of a controller, for work on its looks: `npm run dev`, then
//   http://localhost:5173/dev/?k=4&pods=2&hosts=4&jobs=2&flows=0&faults=0&trouble=0&age=100
// It is not part of the build. The real page against a real controller is `npm run dev` and http://localhost:5173/.
import { render } from 'preact';
import { App } from '../src/App.tsx';
import { Store } from '../src/frame/store.ts';
import { decodeUpdate } from '../src/live/decode.ts';
import { initialState } from '../src/live/state.ts';
import { TopologyFeed } from '../src/live/topology.ts';
import { instant } from '../src/units.ts';
import { fatTree, wholeAt, type Script } from './feed.ts';
import '../src/styles/tokens.css';
import '../src/styles/page.css';
import '../src/styles/panels.css';

const query = new URLSearchParams(location.search);
const number = (name: string, fallback: number): number => Number(query.get(name) ?? fallback);
const k = number('k', 4);
const script: Script = {
  k, pods: number('pods', Math.min(2, k)), hostsPerRack: number('hosts', 4), jobs: number('jobs', 2), extraFlows: number('flows', 12), faults: number('faults', 0),
  trouble: number('trouble', 0) === 1,
};
const topology = fatTree(script);
const filter = { job: null, host: null, maxFlows: 5_000 };
const age = number('age', 100);
const store = new Store(initialState(instant(Date.now() - age * 1000), filter));

// The past that the chart shows.
const start = Date.now() - age * 1000;
for (let second = 0; second <= age; second++) {
  const at = instant(start + second * 1000);
  store.dispatch({ type: 'update', at, update: decodeUpdate(wholeAt(script, topology, second, at)) });
  store.dispatch({ type: 'tick', at });
}
if (query.get('lost') === '1') {
  store.dispatch({ type: 'lost', at: instant(Date.now() - 12_000), retryAt: instant(Date.now() + 4_000) });
} else {
  let second = age;
  setInterval(() => {
    second++;
    const at = instant(Date.now());
    store.dispatch({ type: 'update', at, update: decodeUpdate(wholeAt(script, topology, second, at)) });
    store.dispatch({ type: 'tick', at });
  }, 1_000);
}
const feed = new TopologyFeed(async () => Promise.resolve(new Response(JSON.stringify(topology))));
feed.refresh();
render(<App store={store} topology={feed} session={{ watch: () => undefined, retryNow: () => undefined }} />, document.getElementById('app')!);
