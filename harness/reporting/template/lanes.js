// The lanes are drawn for the eye; the ordered list under them carries the same for a screen reader.
const KEYS = {
  run: ['task runs', () => s('rect', { class: 'run', x: 7, y: 0, width: 8, height: 12, rx: 2 })],
  durable: ['stays after a crash', () => s('rect', { class: 'durable', x: 8, y: 0, width: 6, height: 12 })],
  ready: ['message ready', () => s('path', { class: 'ready', d: 'M0 6H22' })],
  heldl: ['held, not acked', () => s('path', { class: 'heldl', d: 'M0 6H22' })],
};

// When the message is ready, held by a worker, or neither: [from, to, class]; `to` null means until the end.
function brokerSpans(S) {
  const out = [], held = new Map();
  let ready = null;
  const close = (span, i) => { if (span) span[1] = i; };
  S.forEach((x, i) => {
    if (x.kind === 'publish' || x.kind === 'retry') { close(ready, i); out.push(ready = [i, null, 'ready']); }
    if (x.kind === 'deliver') {
      close(ready, i); ready = null;
      for (const [d, span] of held) if (x.delivery > d) { close(span, i); held.delete(d); }
      const span = [i, null, 'heldl']; out.push(span); held.set(x.delivery, span);
    }
    if (x.kind === 'ack' || x.kind === 'reject') { const k = held.has(x.delivery) ? x.delivery : [...held.keys()].at(-1); close(held.get(k), i); held.delete(k); }
    if (x.kind === 'lost') { close(ready, i); ready = null; for (const span of held.values()) close(span, i); held.clear(); }
  });
  return out;
}

// The time in which each delivery ran on a worker: [lane, from, to].
function runSpans(S, workers) {
  const open = new Map(), out = [];
  S.forEach((x, i) => {
    const lane = x.kind === 'deliver' ? x.to : x.lane;
    if ((x.kind === 'deliver' || x.kind === 'start') && workers.has(lane)) {
      const key = lane + '/' + x.delivery;
      if (!open.has(key)) { const span = [lane, i, null]; out.push(span); open.set(key, span); }
    }
    if (['end', 'retry', 'crash'].includes(x.kind)) for (const [key, span] of open) {
      if (span[0] === x.lane && (x.kind === 'crash' || !x.delivery || key === x.lane + '/' + x.delivery)) { span[2] = i; open.delete(key); }
    }
  });
  return out;
}

function layLanes() {
  if (!D.stories.length) return;
  const st = D.stories[si], S = st.steps, svg = lanesBox.querySelector('svg.g'), W = parseFloat(getComputedStyle(lanesBox).getPropertyValue('--lane')), tight = W < 40;
  const top0 = lanesBox.getBoundingClientRect().top, wide = W * st.lanes.length;
  const box = [...lanesBox.querySelectorAll('ol > li')].map(li => { const r = li.getBoundingClientRect(); return { a: r.top - top0, b: r.bottom - top0, m: (r.top + r.bottom) / 2 - top0 }; });
  const X = Object.fromEntries(st.lanes.map((l, i) => [l.name, W * (i + .5)])), T = box[0].a, H = box.at(-1).b, y = i => i == null ? H : box[i].m, g = [], used = new Set();
  const workers = new Set(st.lanes.filter(l => l.kind === 'worker').map(l => l.name)), stores = new Set(st.lanes.filter(l => l.kind === 'store').map(l => l.name));
  const bar = (lane, a, b, cls, w) => { used.add(cls); g.push(s('rect', { class: cls, x: X[lane] - w / 2, y: a, width: w, height: Math.max(2, b - a), rx: cls === 'durable' ? 0 : 2 })); };
  for (const l of st.lanes) g.push(s('line', { class: 'life', x1: X[l.name], x2: X[l.name], y1: T, y2: H }));
  S.forEach((x, i) => { if (x.kind === 'wait') g.push(s('rect', { class: 'gapbg', x: 0, y: box[i].a + 6, width: wide, height: box[i].b - box[i].a - 12 })); });
  if ('broker' in X) for (const [a, b, cls] of brokerSpans(S)) { used.add(cls); g.push(s('line', { class: cls, x1: X.broker, x2: X.broker, y1: y(a), y2: y(b) })); }
  for (const [lane, a, b] of runSpans(S, workers)) bar(lane, y(a), y(b), 'run', tight ? 7 : 10);
  const effects = S.map((x, i) => ({ x, i, lane: stores.has(x.to) ? x.to : x.lane })).filter(e => e.x.kind === 'effect' || e.x.kind === 'effect_again');
  for (const lane of new Set(effects.map(e => e.lane))) if (lane in X) bar(lane, y(effects.find(e => e.lane === lane).i), H, 'durable', 6);
  S.forEach((x, i) => { if (x.kind === 'wait') zigzag(g, box[i], wide); });
  S.forEach((x, i) => { if (x.to && x.to in X && x.lane in X && x.to !== x.lane) arrow(g, X[x.lane], X[x.to], y(i), tight, x.kind.startsWith('effect')); });
  const count = {};
  for (const { x, i, lane } of effects) coin(g, X[lane], y(i), count[lane] = (count[lane] || 0) + 1, x.bad, tight);
  S.forEach((x, i) => { if (x.lane in X) sign(g, x, X[x.lane], y(i), tight); });
  svg.setAttribute('width', wide); svg.setAttribute('height', H); svg.replaceChildren(...g);
  legend.replaceChildren(...Object.entries(KEYS).filter(([k]) => used.has(k)).map(([, [text, draw]]) => h('span', {}, s('svg', {}, draw()), text)));
}
function zigzag(g, z, wide) {
  let d = '';
  for (let i = 0; i * 9 < wide; i++) d += ` l4.5 ${i % 2 ? -5 : 5} l4.5 ${i % 2 ? 5 : -5}`;
  g.push(s('path', { class: 'zig', d: `M0 ${z.a + 5}${d}` }), s('path', { class: 'zig', d: `M0 ${z.b - 7}${d}` }));
}
function arrow(g, a, b, Y, tight, coined) {
  const dir = Math.sign(b - a), x1 = a + dir * (tight ? 4 : 7), x2 = b - dir * (coined ? (tight ? 9 : 13) : (tight ? 5 : 8)), n = tight ? 3.5 : 5;
  g.push(s('line', { class: 'msg', x1, x2: x2 - dir * 2, y1: Y, y2: Y }), s('path', { class: 'tip', d: `M${x2} ${Y} l${-dir * n * 1.5} ${-n * .75} v${n * 1.5} z` }));
}
function coin(g, X, Y, n, bad, tight) {
  const r = tight ? 8 : 11;
  g.push(bad ? s('path', { class: 'coin2', transform: `translate(${X} ${Y}) scale(${r / 10.5})`, d: OCT }) : s('circle', { class: 'coin', cx: X, cy: Y, r }), s('text', { class: 'cn', x: X, y: Y + 4 }, String(n)));
}
function sign(g, x, X, Y, tight) {
  const r = tight ? 10 : 15, k = r * .25;
  const cross = (n, cls) => s('path', { class: cls, d: `M${X - n} ${Y - n} l${2 * n} ${2 * n} m0 ${-2 * n} l${-2 * n} ${2 * n}` });
  if (x.kind === 'crash' || x.kind === 'fault') g.push(s('path', { class: 'boom', transform: `translate(${X} ${Y}) scale(${r / 11})`, d: STAR }), cross(k, 'bx'));
  else if (x.bad && !x.kind.startsWith('effect')) g.push(s('path', { class: 'coin2', transform: `translate(${X} ${Y}) scale(${tight ? .75 : 1})`, d: OCT }), cross(tight ? 3 : 4, 'bx'));
  else if (x.kind === 'retry') g.push(s('circle', { class: 'ret', cx: X, cy: Y, r: tight ? 4 : 6 }));
}

