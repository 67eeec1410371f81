const hop = Math.max(STEP / 2, (T1 - T0) / 400);
let cur = F.length ? Math.min(T1, F[0].begun + Math.max(STEP, (F[0].end - F[0].begun) / 2)) : T0 + (T1 - T0) / 2;
const curLine = h('div', { class: 'cur' }, h('output', { 'aria-hidden': 'true' }));
const hand = h('div', { class: 'hand', role: 'slider', tabindex: 0, 'aria-label': 'Time cursor over all charts', 'aria-valuemin': T0, 'aria-valuemax': T1, 'aria-valuenow': T0 });
function setCur(t) {
  cur = Math.max(T0, Math.min(T1, t));
  css(curLine, 'left', charts.clientWidth - WID + sx(cur) + 'px');
  curLine.firstChild.textContent = cur.toFixed(1) + ' s';
  const during = F.filter(f => cur >= f.begun && cur < f.end).map(f => f.name), text = [];
  for (const c of CH) {
    if (!c.read) continue;
    const r = c.read(cur);
    text.push(c.title + ': ' + r.map(x => x[1]).join(', '));
    reads[c.id].replaceChildren(...r.map(([k, v]) => h('span', {}, k && swatch(k), v)));
  }
  hand.setAttribute('aria-valuenow', cur.toFixed(1));
  hand.setAttribute('aria-valuetext', `${cur.toFixed(1)} seconds${during.length ? ', during ' + during.join(' and ') : ''}. ${text.join('. ')}`);
}
const timeAt = (x, r) => T0 + (x - r.left - PADL) / (r.width - PADL - PADR) * (T1 - T0);
hand.addEventListener('pointermove', e => setCur(timeAt(e.clientX, hand.getBoundingClientRect())));
hand.addEventListener('keydown', e => {
  const next = F.filter(f => f.begun > cur + .01).sort((a, b) => a.begun - b.begun)[0] || F[0];
  const to = { ArrowRight: cur + hop, ArrowUp: cur + hop, ArrowLeft: cur - hop, ArrowDown: cur - hop, Home: T0, End: T1, PageUp: cur + 10 * hop, PageDown: cur - 10 * hop, f: next && next.begun }[e.key];
  if (to != null) { e.preventDefault(); setCur(to); }
});
hand.addEventListener('click', e => { // a mark under the pointer opens its task
  const c = CH.find(x => x.id === 'dots');
  if (!c) return;
  const r = c.svg.getBoundingClientRect();
  if (e.clientY < r.top || e.clientY > r.bottom) return;
  let best = 14, hit = -1;
  for (let i = 0; i < N; i++) {
    if (K.latency[i] == null) continue;
    const m = Math.hypot(sx(K.due[i]) - (e.clientX - r.left), c.y(K.latency[i]) - (e.clientY - r.top)) - (isBad(i) ? 6 : 0);
    if (m < best) { best = m; hit = i; }
  }
  if (hit >= 0) openTask(hit, true);
});
if (Q) {
  charts.append(curLine, hand);
  $('run').append(head('run', 'The run, second by second', 'All charts share one time axis and one cursor. Latency counts from the moment a task was due, so a stalled publisher cannot hide it.'), charts,
    h('p', { class: 'keys' }, 'Move the cursor with the pointer, or ', h('kbd', {}, '←'), ' ', h('kbd', {}, '→'), ', ', h('kbd', {}, 'Home'), ' ', h('kbd', {}, 'End'), F.length > 0 && [', ', h('kbd', {}, 'f'), ' to the next fault'], '.'));
}

