import { HubConnectionBuilder, LogLevel } from '@microsoft/signalr';
import { render } from 'preact';
import { App } from './App.tsx';
import { Store } from './frame/store.ts';
import { LiveSession, type HubConnection } from './live/session.ts';
import { initialState } from './live/state.ts';
import { TopologyFeed } from './live/topology.ts';
import { instant } from './units.ts';
import './styles/tokens.css';
import './styles/page.css';
import './styles/panels.css';

/** Flows asked for at once; the controller keeps the fastest and says how many it left out. */
const maxFlows = 2_000;

const filter = { job: null, host: null, maxFlows };
const store = new Store(initialState(instant(Date.now()), filter));
const topology = new TopologyFeed(async () => await fetch('./api/v1/topology', { headers: { accept: 'application/json' } }));
const session = new LiveSession(filter, {
  connect: (): HubConnection => {
    const connection = new HubConnectionBuilder().withUrl('./hubs/live').configureLogging(LogLevel.Error).build();
    // The controller says at least a ping every 5 s; three missed ones and it is gone, whatever the network says.
    connection.serverTimeoutInMilliseconds = 15_000;
    connection.keepAliveIntervalInMilliseconds = 5_000;
    return connection;
  },
  dispatch: store.dispatch,
  onWhole: () => topology.refresh(),
});

setInterval(() => store.dispatch({ type: 'tick', at: instant(Date.now()) }), 1_000);
addEventListener('online', () => session.retryNow());
addEventListener('visibilitychange', () => {
  if (!document.hidden) {
    session.retryNow();
  }
});

render(<App store={store} topology={topology} session={session} />, document.getElementById('app')!);
session.start();
