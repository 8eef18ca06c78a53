/** A sentence of the planner. Links, which it names as `a->b`, get an arrow and are not broken. */
export function Reason({ text }: { readonly text: string }) {
  return <>{text.split(/(\S+->\S+)/).map((part, i) => (i % 2 === 0 ? part : <span key={i} class="nowrap">{part.replace('->', ' → ')}</span>))}</>;
}
