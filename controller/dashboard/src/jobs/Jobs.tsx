import { useState } from 'preact/hooks';
import { formatBytes, formatClock, formatCount, formatNames, formatSeconds, formatShare, formatSpan } from '../format.ts';
import { Dscp } from '../frame/Dscp.tsx';
import { Reason } from '../frame/Reason.tsx';
import type { JobView } from '../live/records.ts';
import { sentence, sightLine } from './sight.ts';
import { byEnd, byLevel, isRunning, progress, roundsFinished, standing, timeLeft } from './standing.ts';

/** Cards drawn at once; the rest on demand. */
const few = 20;

interface Props {
  readonly jobs: ReadonlyMap<number, JobView>;
  /** False before the first update. */
  readonly known: boolean;
  /** Name of the job whose flows are shown alone. */
  readonly selected: string | null;
  readonly onSelect: (job: string | null) => void;
}

export function Jobs({ jobs, known, selected, onSelect }: Props) {
  const [all, setAll] = useState(false);
  const running = [...jobs.values()].filter(isRunning).sort(byLevel);
  const ended = [...jobs.values()].filter((j) => !isRunning(j)).sort(byEnd);
  const shown = all ? running : running.slice(0, few);
  return (
    <section class="panel jobs" id="jobs" aria-labelledby="jobs-title">
      <div class="panel-head">
        <h2 id="jobs-title">Jobs</h2>
        <p class="muted">{known ? `${formatCount(running.length)} running, ${formatCount(ended.length)} ended` : ''}</p>
      </div>
      {running.length === 0 ? <p class="empty">{known ? <>No job runs. Submit one with <code>POST /api/v1/jobs</code>.</> : 'Waiting for the controller.'}</p> : null}
      <ul class="cards card-scroll">
        {shown.map((j) => <JobCard key={j.id} job={j} selected={selected === j.spec.name} onSelect={onSelect} />)}
      </ul>
      {running.length > few ? <button type="button" class="button" aria-expanded={all} onClick={() => setAll(!all)}>{all ? 'Show fewer' : `Show all ${running.length}`}</button> : null}
      {ended.length > 0 ? (
        <details class="ended" open={running.length === 0}>
          <summary>{formatCount(ended.length)} ended</summary>
          <ul>
            {ended.slice(0, 100).map((j) => (
              <li key={j.id}>
                <strong>{j.spec.name}</strong> {standing(j).word.toLowerCase()}
                {j.endedAt === null ? '' : ` ${formatClock(j.endedAt)} after ${formatSpan((j.endedAt - j.submittedAt) / 1000)}`}, {formatCount(roundsFinished(j))} rounds, {formatBytes(j.socketBytesSent)} sent
              </li>
            ))}
          </ul>
        </details>
      ) : null}
    </section>
  );
}

function JobCard({ job, selected, onSelect }: { readonly job: JobView; readonly selected: boolean; readonly onSelect: (job: string | null) => void }) {
  const { spec, plan } = job;
  const stand = standing(job);
  const share = progress(job);
  const left = timeLeft(job);
  const done = roundsFinished(job);
  const rounds = spec.rounds > 0 ? `${formatCount(done)} of ${formatCount(spec.rounds)} rounds` : `${formatCount(done)} rounds`;
  return (
    <li class={selected ? 'card selected' : 'card'} data-job={spec.name}>
      <div class="card-head">
        <h3>{spec.name}</h3>
        <span class={`chip ${stand.tone}`} title={`State: ${job.state}`}>{stand.word}</span>
        {plan === null ? null : <Dscp dscp={plan.dscp} level={plan.level} />}
        <button
          type="button" class="button card-action" aria-pressed={selected} onClick={() => onSelect(selected ? null : spec.name)}
          title={selected ? 'Show the flows of all jobs' : `Show only the flows of ${spec.name}`}
        >
          Flows<span class="hidden"> of {spec.name}</span>
        </button>
      </div>
      <div class="progress-line">
        <progress max={1} value={share ?? 0} aria-label={`Progress of ${spec.name}: ${rounds}`} />
        <span class="figure-text">{rounds}{share === null ? '' : ` · ${formatShare(share)}`}</span>
      </div>
      <p class="pace">
        <b>{formatSeconds(job.secondsPerRound)}</b> per round
        {left === null ? null : <> · about <b>{left}</b> left</>}
        {' · '}<b>{formatCount(job.workersJoined)}</b> of {formatCount(spec.workers.length)} workers joined
        {spec.helpers.length > 0 ? <> · {formatCount(spec.helpers.length)} helpers</> : null}
      </p>
      {plan === null ? null : (
        <dl class="decisions">
          <div><dt>Priority</dt><dd><Reason text={plan.levelReason} /></dd></div>
          <div><dt>Trees</dt><dd><b>{plan.strategy}</b>, <Reason text={plan.treeReason} /></dd></div>
          <div>
            <dt title="Communication time of a round">Round</dt>
            <dd>
              bound {formatSeconds(plan.boundSeconds)}, predicted {formatSeconds(plan.predictedSeconds)}
              {plan.boundSeconds > 0 && plan.predictedSeconds > 0 ? ` (${(plan.predictedSeconds / plan.boundSeconds).toFixed(2)} × bound)` : ''}
              {plan.bottleneck === null ? null : <>, limited by <Reason text={plan.bottleneck} /></>}
              {spec.gradientBytes > 0 ? `; gradient ${formatBytes(spec.gradientBytes)}` : ''}
            </dd>
          </div>
        </dl>
      )}
      {job.sight === null ? null : <p class="pace">{sentence(sightLine(job.sight))}</p>}
      {job.sight?.waitsFor ? <p class="waiting" role="status">{sentence(job.sight.waitsFor)}</p> : null}
      {job.waitingFor.length > 0 ? <p class="waiting"><b>Waiting for</b> {formatNames(job.waitingFor, 6)} to acknowledge the plan</p> : null}
      {job.troubles.length > 0 ? <ul class="troubles" aria-label={`Troubles of ${spec.name}`}>{job.troubles.map((t) => <li key={t}><span class="bad-sign" aria-hidden="true">▲</span> {t}</li>)}</ul> : null}
    </li>
  );
}
