/* 3 run: what each chart holds */
const Q = D.series, C = D.captions, K = D.tasks, N = K ? K.id.length : 0;
const T0 = Q ? Q.start : 0, STEP = Q ? Q.step : 1, BINS = Q ? Q.finished.length : 0, T1 = T0 + STEP * BINS;
const F = D.faults.filter(f => f.begun != null).map((f, i) => ({ ...f, i, name: f.name, end: Math.max(f.begun, Math.min(f.ended ?? T1, T1)), pattern: ['', 'hx', 'dx'][i % 3] }));
const bin = t => Math.max(0, Math.min(BINS - 1, Math.floor((t - T0) / STEP + EPS)));
const has = (i, why) => K.attempts[i].some(a => a[0] === why);
const isBad = i => K.names.finding[K.finding[i]] !== '';
const fateOf = i => K.names.fate[K.fate[i]];
const hasFailed = i => fateOf(i) !== 'succeeded';
const PADL = 52, PADR = 8, HEAT_ABOVE = 5000;
let WID = 0;
const sx = t => PADL + (t - T0) / (T1 - T0) * (WID - PADL - PADR);

const niceTop = v => {
  if (v <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(v));
  return [1, 2, 2.5, 4, 5, 8, 10].map(k => k * unit).find(k => k >= v * .999);
};
const plain = v => num(+v.toFixed(2));
const linear = (values, label = plain) => {
  const top = niceTop(values.reduce((a, v) => Math.max(a, v ?? 0), 0));
  return { lin: [0, top * 1.1], ticks: (top === 1 && label === plain ? [0, 1] : [0, top / 2, top]).map(v => [v, label(v)]) };
};
const logarithmic = values => {
  let lo = Infinity, hi = 0;
  for (const v of values) if (v != null) { const w = Math.max(v, .001); lo = Math.min(lo, w); hi = Math.max(hi, w); }
  if (!hi) return { log: [.01, 10], ticks: [[.1, '0.1 s'], [1, '1 s']] };
  lo *= .7; hi *= 1.5;
  const up = 10 ** Math.ceil(Math.log10(hi));
  if (hi > up * .5) hi = up * 1.1;
  if (hi / lo < 12) { const mid = Math.sqrt(lo * hi); lo = Math.min(lo, mid / 3.5); hi = Math.max(hi, mid * 3.5); }
  const ticks = [];
  for (let e = Math.ceil(Math.log10(lo)); e <= Math.log10(hi); e++) ticks.push([10 ** e, e < 0 ? (e < -1 ? 10 ** (e + 3) + ' ms' : '0.1 s') : 10 ** e + ' s']);
  return { log: [lo, hi], ticks };
};
const stateAt = (lane, t) => (lane.spans.find(([a, b]) => t >= a - EPS && t < b) || [0, 0, 'down'])[2];
const STATE = { up: 'up', down: 'down', cut: 'cut off' };
const dueIn = Array(BINS).fill(0);
for (let i = 0; i < N; i++) if (BINS && K.due[i] >= T0 && K.due[i] < T1) dueIn[bin(K.due[i])]++;
const per = STEP === 1 ? 'second' : `${plain(STEP)} s`;

const CH = !Q ? [] : [
  { id: 'track', cls: 'track', title: '' },
  N && { id: 'dots', cls: 'tall', h: 168, title: 'Each task, by latency', key: true, ...logarithmic(K.latency), read: t => [[null, `${num(dueIn[bin(t)])} due in this ${per}`]] },
  { id: 'latency', h: 112, title: 'Latency by time due', ...logarithmic([...Q.p50, ...Q.p95, ...Q.p99]),
    read: t => [['l thin', 'p50 ' + ms(Q.p50[bin(t)])], ['l', 'p95 ' + ms(Q.p95[bin(t)])], ['l dark', 'p99 ' + ms(Q.p99[bin(t)])]] },
  { id: 'rate', h: 112, title: 'Throughput, tasks per second', ...linear([...Q.finished, ...Q.published]),
    read: t => [['l', 'finished ' + plain(Q.finished[bin(t)])], ['l ref', 'published ' + plain(Q.published[bin(t)])]] },
  { id: 'queue', h: 112, title: 'Queue, messages', ...linear([...Q.ready, ...Q.unacked]), read: t => [['l', 'ready ' + plain(Q.ready[bin(t)])], ['l h', 'held ' + plain(Q.unacked[bin(t)])]] },
  { id: 'oldest', h: 112, title: 'Oldest message', ...linear(Q.oldest, v => plain(v) + ' s'), read: t => [['l', ms(Q.oldest[bin(t)])]] },
  { id: 'again', h: 112, title: `Started again, per ${per}`, ...linear(Q.retried.map((v, i) => v + Q.redelivered[i] + Q.duplicated[i])),
    read: t => [['sq', 'retry ' + Q.retried[bin(t)]], ['bar4', 'redelivery ' + Q.redelivered[bin(t)]], ['bar3', 'duplicate ' + Q.duplicated[bin(t)]]] },
  D.lanes.length && { id: 'workers', cls: 'low', h: 14 + 26 * D.lanes.length, title: 'Workers',
    read: t => D.lanes.length > 4 ? [[null, `${D.lanes.filter(w => stateAt(w, t) === 'up').length} of ${D.lanes.length} up`]] : D.lanes.map(w => [null, `${w.name} ${STATE[stateAt(w, t)] || stateAt(w, t)}`]) },
  ...USES(),
  { id: 'axis', cls: 'axis', h: 26, title: '' },
].filter(Boolean);

const swatch = c => s('svg', { 'aria-hidden': 'true' }, c === 'sq' ? s('rect', { class: 'bar1', x: 2, y: -1, width: 8, height: 10 }) :
  c.startsWith('bar') ? s('rect', { class: c, x: 2, y: -1, width: 8, height: 10 }) : s('path', { class: c, d: 'M0 4H14' }));
const dotKey = () => {
  const all = [...Array(N).keys()], rows = [];
  if (all.some(isBad)) rows.push(['named by a finding', s('path', { class: 'oct', transform: 'scale(.6)', d: OCT })]);
  if (all.some(i => hasFailed(i) && !isBad(i))) rows.push(['did not succeed', s('path', { class: 'tri', d: 'M0-6 6 4.5H-6z' })]);
  if (all.some(i => has(i, 2) && !isBad(i) && !hasFailed(i))) rows.push(['redelivered', s('circle', { class: 'ring', r: 4 })]);
  if (!rows.length) return null;
  rows.push(['any other', N > HEAT_ABOVE ? s('rect', { class: 'heat3', x: -4, y: -4, width: 8, height: 8 }) : s('circle', { class: 'dot1', r: 2 })]);
  return h('ul', { class: 'key' }, rows.map(([t, e]) => h('li', {}, s('svg', { viewBox: '-8 -8 16 16', 'aria-hidden': 'true' }, e), t)));
};
const charts = h('div', { class: 'charts' }), reads = {};
for (const c of CH) {
  const says = c.title ? `${c.title}. ${C[c.id] || ''}` : `${many(F.length, 'fault')}: ${F.map(f => `${f.name} from ${ms(f.begun)} to ${ms(f.end)}`).join(', ')}`;
  c.svg = s('svg', c.id === 'axis' ? { class: 'plot', 'aria-hidden': 'true' } : { class: 'plot', role: 'img', 'aria-label': says });
  const label = c.id === 'axis' ? null : c.id === 'track' ? h('h3', {}, F.length ? 'Faults' : 'No faults') :
    [h('h3', {}, c.title), C[c.id] && h('p', {}, C[c.id]), c.key && dotKey(), reads[c.id] = h('p', { class: 'read' })];
  c.el = h('div', { class: 'ch ' + (c.cls || '') }, h('div', { class: 'lab' }, label), c.svg);
  if (c.h) css(c.svg, 'height', c.h + 'px');
  charts.append(c.el);
}

