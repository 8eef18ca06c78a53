import type { AgentView } from '../live/records.ts';
import { isBehind } from './standing.ts';

/** Class of an agent's mark in tables and in the drawing; each has its own shape, so that colour is not needed. */
export const agentClass = (agent: AgentView | undefined): string =>
  agent === undefined || agent.state === 'never' ? 'never' : agent.state === 'silent' ? 'silent' : agent.error !== null ? 'refused' : isBehind(agent) ? 'behind' : 'connected';

/** The agent's mark, as in the drawing of the fabric. */
export function AgentSign({ agent }: { readonly agent: AgentView | undefined }) {
  return (
    <svg class="agent-sign" width="14" height="14" viewBox="-7 -7 14 14" aria-hidden="true">
      <AgentShape state={agentClass(agent)} radius={5} />
    </svg>
  );
}

export function AgentShape({ state, radius }: { readonly state: string; readonly radius: number }) {
  return (
    <g class={`agent ${state}`}>
      <circle r={radius} />
      {state === 'silent' || state === 'refused' ? <path d={`M${-radius * 0.5} ${-radius * 0.5} L${radius * 0.5} ${radius * 0.5} M${radius * 0.5} ${-radius * 0.5} L${-radius * 0.5} ${radius * 0.5}`} /> : null}
      {state === 'behind' ? <path class="half" d={`M0 ${-radius} A${radius} ${radius} 0 0 1 0 ${radius} Z`} /> : null}
    </g>
  );
}
