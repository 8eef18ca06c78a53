import { byName } from '../format.ts';
import type { AgentView, Revision } from '../live/records.ts';

/** `term.generation`, as logs write it. */
export const formatRevision = (revision: Revision): string => `${revision.term}.${revision.generation}`;

/** The version without most of the build's hash. */
export const formatVersion = (version: string): string => version.replace(/(\+[0-9a-f]{7})[0-9a-f]+$/, '$1');

/** Below zero when the first is older. */
export const compareRevisions = (a: Revision, b: Revision): number => a.term - b.term || a.generation - b.generation;

/** It has not acknowledged the policy that it should have. */
export const isBehind = (agent: AgentView): boolean => compareRevisions(agent.acknowledged, agent.desired) < 0;

/** Somebody should look at it: it is gone, refused its policy, complains, or loses what it should count. */
export const hasTrouble = (agent: AgentView): boolean =>
  agent.state !== 'connected' || agent.error !== null || agent.troubles.length > 0 || agent.kernelDrops > 0 || agent.lostRecords > 0;

/** Agents with trouble first, then those behind, then the rest, each by name. */
export function byNeed(a: AgentView, b: AgentView): number {
  const need = (agent: AgentView): number => (hasTrouble(agent) ? 0 : isBehind(agent) ? 1 : 2);
  return need(a) - need(b) || byName(a.host, b.host);
}

/** The state in words. */
export function agentState(agent: AgentView): string {
  switch (agent.state) {
    case 'connected':
      return agent.error !== null ? 'refused its policy' : isBehind(agent) ? 'applying' : 'connected';
    case 'silent':
      return 'silent';
    case 'never':
      return 'never seen';
  }
}
