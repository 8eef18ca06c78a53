import { useRef, useState } from 'preact/hooks';
import { dscpClass } from '../dscp.ts';
import { byName, formatRate, formatSpan } from '../format.ts';
import { useRemembered } from '../frame/remembered.ts';
import { useSize } from '../frame/size.ts';
import { bitsPerSecond, instant, type Instant } from '../units.ts';
import type { RateHistory, RateSeries } from './history.ts';
import { dashes, sampleAt, stretches } from './lines.ts';
import { niceTicks, spread } from './scale.ts';

const left = 66;
/** Most characters of a name at the end of a line; the table has it whole. */
const longestName = 22;
/** Width of a character of these names, pixels, on the safe side. */
const characterWidth = 6.6;
const top = 8;
const bottom = 20;
/** More lines than this cannot be told apart: the fastest are drawn, and the table has all. */
const mostLines = 12;

const nameOf = (series: RateSeries): string => series.job ?? 'without a job';
const shortName = (series: RateSeries): string => (nameOf(series).length > longestName ? `${nameOf(series).slice(0, longestName - 1)}…` : nameOf(series));

/** What each job's flows send together, over the last minutes. */
export function RatePanel({ rates, now }: { readonly rates: RateHistory; readonly now: Instant }) {
  const [span, setSpan] = useRemembered('rate-span', ['2', '5'] as const, '2');
  const [cursor, setCursor] = useState<number | null>(null);
  const frame = useRef<HTMLDivElement>(null);
  const { width, height } = useSize(frame);
  const spanMs = Number(span) * 60_000;
  const from = now - spanMs;

  const inView = rates
    .map((s) => ({ ...s, samples: s.samples.filter((p) => p.at >= from) }))
    .filter((s) => s.samples.length > 0)
    .sort((a, b) => Number(a.job === null) - Number(b.job === null) || byName(nameOf(a), nameOf(b)));
  const peakOf = (s: RateSeries): number => s.samples.reduce((most, p) => Math.max(most, p.rate), 0);
  const drawn = inView.length <= mostLines ? inView : [...inView].sort((a, b) => peakOf(b) - peakOf(a)).slice(0, mostLines);
  const ticks = niceTicks(Math.max(1e3, ...drawn.map(peakOf)), 4);
  const most = ticks.at(-1)!;
  // Room for the names at the ends of the lines, but never more than a third of the panel.
  const right = Math.min(width / 3, 12 + characterWidth * Math.max(0, ...drawn.map((s) => shortName(s).length)));
  const inner = Math.max(10, width - left - right);
  const x = (at: number): number => left + (inner * (at - from)) / spanMs;
  const y = (rate: number): number => top + (height - top - bottom) * (1 - rate / most);

  const at = instant(cursor === null ? now : Math.max(from, now - cursor));
  const dash = (s: RateSeries): string => dashes[inView.indexOf(inView.find((v) => v.job === s.job)!) % dashes.length]!;
  const move = (step: number): void => setCursor((c) => Math.min(spanMs, Math.max(0, (c ?? 0) + step)));

  return (
    <section class="panel rates" aria-labelledby="rates-title">
      <div class="panel-head">
        <h2 id="rates-title">Rate by job</h2>
        <p class="muted">sum of its flows</p>
        <div class="tools" role="group" aria-label="Length of the chart">
          {(['2', '5'] as const).map((s) => (
            <button key={s} type="button" class={s === span ? 'button active' : 'button'} aria-pressed={s === span} onClick={() => setSpan(s)}>{s} min</button>
          ))}
        </div>
      </div>
      <div class="chart" ref={frame}>
        {width === 0 ? null : (
          <svg
            width={width} height={height} role="img" tabindex={0}
            aria-label={`Rates of ${inView.length} jobs over ${span} minutes. Arrow keys move through time; the table below has the figures.`}
            onPointerMove={(e) => {
              const box = e.currentTarget.getBoundingClientRect();
              const px = e.clientX - box.left;
              setCursor(px < left || px > width - right ? null : ((width - right - px) / inner) * spanMs);
            }}
            onPointerLeave={() => setCursor(null)}
            onBlur={() => setCursor(null)}
            onKeyDown={(e) => {
              const step = e.key === 'ArrowLeft' ? 2_000 : e.key === 'ArrowRight' ? -2_000 : 0;
              if (step !== 0) {
                move(step * (e.shiftKey ? 5 : 1));
                e.preventDefault();
              } else if (e.key === 'Escape') {
                setCursor(null);
              }
            }}
          >
            {ticks.map((t) => (
              <g key={t}>
                <line class="grid-line" x1={left} x2={width - right} y1={y(t)} y2={y(t)} />
                <text class="axis" x={left - 6} y={y(t) + 4} text-anchor="end">{formatRate(bitsPerSecond(t))}</text>
              </g>
            ))}
            {Array.from({ length: Number(span) + 1 }, (_, i) => i).map((minute) => (
              <text key={minute} class="axis" x={x(now - minute * 60_000)} y={height - 5} text-anchor={minute === 0 ? 'end' : minute === Number(span) ? 'start' : 'middle'}>
                {minute === 0 ? 'now' : `−${minute} min`}
              </text>
            ))}
            {drawn.map((s) => (
              <g key={s.job ?? ''} data-rate-of={s.job ?? ''}>
                {stretches(s.samples).map((part) => (
                  <polyline
                    key={part.samples[0]!.at} class={`line ${dscpClass(part.dscp)}`} stroke-dasharray={dash(s)}
                    points={part.samples.map((p) => `${x(p.at).toFixed(1)},${y(p.rate).toFixed(1)}`).join(' ')}
                  />
                ))}
              </g>
            ))}
            <EndLabels drawn={drawn} now={now} x={width - right} height={height} y={y} />
            {cursor === null ? null : <line class="cursor" x1={x(at)} x2={x(at)} y1={top} y2={height - bottom} />}
          </svg>
        )}
      </div>
      <div class="scroll short" role="region" aria-label="Table of rates" tabIndex={0}>
        <table class="compact">
          <thead>
            <tr>
              <th scope="col">Job</th>
              <th scope="col" class="num">{cursor === null ? 'Now' : `${formatSpan(cursor / 1000)} ago`}</th>
              <th scope="col" class="num">Mean</th>
              <th scope="col" class="num">Peak</th>
            </tr>
          </thead>
          <tbody>
            {inView.map((s) => {
              const sample = sampleAt(s.samples, at);
              const mean = s.samples.reduce((sum, p) => sum + p.rate, 0) / s.samples.length;
              return (
                <tr key={s.job ?? ''}>
                  <th scope="row">
                    <svg class="line-sign" width="26" height="8" aria-hidden="true"><line class={`line ${dscpClass(s.samples.at(-1)!.dscp)}`} stroke-dasharray={dash(s)} x1="1" x2="25" y1="4" y2="4" /></svg>
                    {nameOf(s)}
                  </th>
                  <td class="num">{sample === null ? '–' : formatRate(sample.rate)}</td>
                  <td class="num">{formatRate(bitsPerSecond(mean))}</td>
                  <td class="num">{formatRate(bitsPerSecond(peakOf(s)))}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
        {inView.length === 0 ? <p class="empty">No rates yet.</p> : null}
      </div>
    </section>
  );
}

/** Names at the ends of the lines, moved apart. */
function EndLabels({ drawn, now, x, height, y }: { readonly drawn: RateHistory; readonly now: Instant; readonly x: number; readonly height: number; readonly y: (rate: number) => number }) {
  const ends = drawn.map((s) => ({ series: s, last: sampleAt(s.samples, now) })).filter((e) => e.last !== null && e.last.rate > 0);
  const places = spread(ends.map((e) => y(e.last!.rate) + 4), 12, height - bottom + 4);
  return (
    <>
      {ends.map((e, i) => <text key={e.series.job ?? ''} class="end-label" x={x + 5} y={places[i]}>{shortName(e.series)}</text>)}
    </>
  );
}
