import { counted, formatClock, formatSpan } from '../format.ts';
import { staleSince, type LiveState } from '../live/state.ts';
import type { Instant } from '../units.ts';

interface Props {
  readonly live: LiveState;
  readonly now: Instant;
  readonly onRetry: () => void;
}

/** How long it is said that updates were skipped, milliseconds: what was missed then is long made up for. */
const skippedShownMs = 20_000;

/** What limits what is shown: no connection, what the controller cannot do, what could not be read. Read out as it appears. */
export function Notices({ live, now, onRetry }: Props) {
  const since = staleSince(live);
  const down = live.connection.phase !== 'live' && (since !== null || now - live.connection.since > 1_500);
  return (
    <div class="notices" role="status" aria-live="polite">
      {down ? (
        <div class="notice poor" data-notice="disconnected">
          <strong>No connection to the controller since {formatClock(live.connection.since)}.</strong>{' '}
          {since === null
            ? 'Nothing is known yet. '
            : <>Everything below is as of then and {/* Not read out again each second. */}<span aria-hidden="true">({formatSpan((now - since) / 1000)} ago) </span>may have changed. </>}
          Agents keep to the last policy and training goes on. The page connects again by itself.
          {live.connection.phase === 'lost' ? <button type="button" class="button" onClick={onRetry}>Try now</button> : null}
        </div>
      ) : null}
      {live.warnings.map((w) => <div key={w} class="notice warn" data-notice="warning"><strong>Controller:</strong> {w}</div>)}
      {live.unreadable > 0 ? (
        <div class="notice warn" data-notice="unreadable">
          {counted(live.unreadable, 'record')} of the controller could not be read and {live.unreadable === 1 ? 'is' : 'are'} not shown. Reload the page: the controller may have been upgraded.
        </div>
      ) : null}
      {live.skippedAt !== null && now - live.skippedAt < skippedShownMs ? (
        <div class="notice info" data-notice="skipped">This page is too slow: {counted(live.skipped, 'update')} skipped. What is shown is complete, but comes in larger steps.</div>
      ) : null}
    </div>
  );
}
