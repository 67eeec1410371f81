/* 6 tasks: rows, chips, detail */
const WHY = ['delivered', 'retried', 'redelivered', 'duplicate delivered'], OUT = ['succeeded', 'will retry', 'failed', 'killed', 'still open', 'ignored or rejected'];
const retriesOf = i => K.attempts[i].reduce((n, a) => n + (a[0] === 1), 0);
const workerOf = i => { const a = K.attempts[i].at(-1); return a ? K.names.worker[a[3]] : '–'; };
const nameOf = i => K.label[i] || '#' + K.call[i];
const KINDS = !K ? [] : [
  ['all', 'All', () => true],
  ...K.names.finding.map((w, k) => w && ['f' + k, w, i => K.finding[i] === k]).filter(Boolean),
  ...K.names.fate.map((w, k) => w !== 'succeeded' && ['e' + k, w[0].toUpperCase() + w.slice(1), i => K.fate[i] === k]).filter(Boolean),
  ['again', 'Redelivered', i => has(i, 2)], ['retried', 'Retried', i => retriesOf(i) > 0], ['copy', 'Duplicated', i => has(i, 3)], ['slow', 'Slower than 1 s', i => K.latency[i] > 1],
];
const risk = i => (isBad(i) ? 8 : 0) + (hasFailed(i) ? 4 : 0) + (has(i, 2) ? 2 : 0) + (retriesOf(i) ? 1 : 0) + (has(i, 3) ? .5 : 0);
const COLS = [['label', 'Task', 'c-o'], ['id', 'Task id', 'c-id'], ['due', 'Due', 'c-d'], ['latency', 'Latency', 'c-l'], ['starts', 'Starts', 'c-st'], ['worker', 'Last on', 'c-w'], ['risk', 'What happened', 'c-r']];
const SORT = !K ? {} : { label: i => K.call[i], id: i => K.id[i], due: i => K.due[i], latency: i => K.latency[i] ?? Infinity, starts: i => K.attempts[i].length, worker: workerOf, risk };
const tags = i => {
  const out = [], bits = [], n = retriesOf(i);
  if (isBad(i)) out.push(h('span', { class: 'tag v fail' }, mark('fail'), K.names.finding[K.finding[i]]));
  if (hasFailed(i)) out.push(h('span', { class: 'tag v inconclusive' }, s('svg', { class: 'mark', viewBox: '-12 -12 24 24', 'aria-hidden': 'true' }, s('path', { class: 's', d: 'M0-10 11 9H-11z' })), fateOf(i)));
  if (K.attempts[i].some(a => a[4] === 3)) bits.push('killed');
  if (has(i, 2)) bits.push('redelivered');
  if (n) bits.push(n === 1 ? '1 retry' : n + ' retries');
  if (has(i, 3)) bits.push('duplicate');
  if (K.names.error[K.error[i]]) bits.push(K.names.error[K.error[i]]);
  if (bits.length) out.push(h('span', { class: 'tag q' }, bits.join(', ')));
  return out.length ? out : [h('span', { class: 'tag q' }, fateOf(i))];
};
let latLo = Infinity, latHi = 0, sel = -1;
for (let i = 0; i < N; i++) if (K.latency[i] > 0) { latLo = Math.min(latLo, K.latency[i]); latHi = Math.max(latHi, K.latency[i]); }
const share = v => latHi > latLo && v > 0 ? Math.max(1, Math.log(v / latLo) / Math.log(latHi / latLo) * 100) : 1;
function rowOf(i, n) {
  const bar = s('svg', { viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, K.latency[i] != null && s('rect', { class: isBad(i) ? 'bar2' : 'bar1', x: 0, y: 1, height: 8, width: share(K.latency[i]) }));
  return h('tr', { class: i === sel ? 'sel' : '', 'aria-rowindex': n + 2, onclick: () => openTask(i, false) },
    h('td', { class: 'c-o' }, h('button', { type: 'button', 'aria-label': `Open task ${nameOf(i)}` }, nameOf(i))), h('td', { class: 'hid c-id' }, K.id[i]), h('td', { class: 'c-d' }, K.due[i].toFixed(2) + ' s'),
    h('td', { class: 'c-l' }, h('span', { class: 'lat' }, h('span', {}, ms(K.latency[i])), bar)), h('td', { class: 'c-st' }, String(K.attempts[i].length)), h('td', { class: 'c-w' }, workerOf(i)), h('td', { class: 'c-r' }, h('span', { class: 'tags' }, tags(i))));
}
const one = h('div', { class: 'one', id: 'one', tabindex: -1 });
function openTask(i, scroll) {
  sel = i;
  const at = K.attempts[i], t0 = K.due[i], t1 = Math.max(t0 + .001, ...at.map(a => a[2] ?? a[1] + .001)), x = t => (t - t0) / (t1 - t0) * 1000, g = [];
  let prev = t0;
  for (const a of at) {
    g.push(s('line', { class: prev > t0 && a[0] === 2 ? 'heldl' : 'l ref', x1: x(prev), x2: x(a[1]), y1: 20, y2: 20, 'vector-effect': 'non-scaling-stroke' }));
    g.push(s('rect', { class: a[4] === 3 ? 'barx' : a[4] === 0 || a[4] === 1 ? 'bar1' : 'bar3', x: x(a[1]), y: 11, width: Math.max(2.5, x(a[2] ?? t1) - x(a[1])), height: 18 }));
    prev = a[2] ?? t1;
  }
  const st = D.stories.findIndex(z => z.task_id === K.id[i]), error = K.names.error[K.error[i]];
  const lasts = a => a[2] == null ? 'did not end' : `ran ${ms(a[2] - a[1])}`;
  one.replaceChildren(h('h3', {}, `${K.names.task[K.task[i]]} ${nameOf(i)} `, h('small', { class: 'quiet mono' }, K.id[i])),
    s('svg', { viewBox: '0 0 1000 54', preserveAspectRatio: 'none', role: 'img', 'aria-label': `Due at ${t0.toFixed(2)} s, ${K.latency[i] == null ? 'never ended' : `ended ${ms(K.latency[i])} later`}, ${many(at.length, 'start')}` }, g),
    h('ol', {}, h('li', {}, h('span', {}, '+0.000'), `due at ${t0.toFixed(2)} s${K.call[i] ? `, call ${K.call[i]}` : ''}`),
      at.map(a => h('li', {}, h('span', {}, '+' + (a[1] - t0).toFixed(3)), `${WHY[a[0]]} to ${K.names.worker[a[3]]}, ${lasts(a)}: ${OUT[a[4]]}`)), h('li', {}, h('span', {}, 'fate'), fateOf(i))),
    ...(error ? [h('p', { class: 'mono' }, error)] : []), ...(st < 0 ? [] : [h('p', {}, h('a', { href: '#story', onclick: () => showStory(st) }, 'Read its story'))]));
  paint(true);
  if (scroll) reveal(i);
}

