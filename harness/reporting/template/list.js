/* 6 tasks: search, sort, windowed rows */
const RH = 32, ROWS = 26;
let kind = 'all', sortKey = 'risk', sortDir = -1, view = [], shown = '';
const texts = [];
for (let i = 0; i < N; i++) texts.push(`${K.label[i]} ${K.id[i]} ${K.names.task[K.task[i]]} ${fateOf(i)} ${K.names.error[K.error[i]]} ${K.names.finding[K.finding[i]]} ${has(i, 2) ? 'redelivered' : ''} ${workerOf(i)} #${K.call[i]}`.toLowerCase());
const q = h('input', { type: 'search', placeholder: 'task, id, outcome or exception', 'aria-label': 'Search tasks', autocomplete: 'off', spellcheck: 'false', oninput: () => filter() });
const count = h('span', { class: 'quiet', 'aria-live': 'polite' }), tb = h('tbody'), ths = {};
const chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Show' });
for (const [k, t, f] of KINDS) {
  let n = 0;
  for (let i = 0; i < N; i++) n += f(i);
  if (n) chips.append(h('button', { type: 'button', 'aria-pressed': String(k === 'all'), 'data-k': k, onclick: () => { kind = k; filter(); } }, `${t} ${num(n)}`));
}
const list = h('div', { class: 'list', tabindex: 0, role: 'region', 'aria-label': 'Tasks, scrollable' });
const sortBy = k => { sortDir = sortKey === k ? -sortDir : ['latency', 'risk', 'starts'].includes(k) ? -1 : 1; sortKey = k; filter(); };
list.append(h('table', { 'aria-rowcount': N + 1 }, h('colgroup', {}, COLS.map(c => h('col', { class: c[2] }))),
  h('thead', {}, h('tr', {}, COLS.map(([k, t, cls]) => ths[k] = h('th', { scope: 'col', class: cls }, h('button', { type: 'button', onclick: () => sortBy(k) }, t))))), tb));
if (K) $('tasks').append(head('tasks', N === 1 ? 'The one task' : `All ${num(N)} tasks`, `Most telling first. Each task has an address: #task-${K.call.find(Boolean) || 1}.`), h('div', { class: 'find' }, q, chips, count), list, one);

function paint(force) {
  if (!K) return;
  if (printing) { tb.replaceChildren(...view.slice(0, 40).map((i, n) => rowOf(i, n))); shown = ''; return; }
  const a = Math.max(0, Math.floor(list.scrollTop / RH) - 6), b = Math.min(view.length, a + ROWS), key = a + '-' + b;
  if (!force && key === shown) return;
  shown = key;
  const space = n => { const td = h('td', { class: 'sp' }); css(td, 'height', n * RH + 'px'); return css(h('tr', { 'aria-hidden': 'true' }, td), 'height', n * RH + 'px'); };
  const active = document.activeElement?.closest?.('tr')?.getAttribute('aria-rowindex');
  tb.replaceChildren(...[a ? space(a) : null, ...view.slice(a, b).map((i, n) => rowOf(i, a + n)), b < view.length ? space(view.length - b) : null].filter(Boolean));
  if (active) tb.querySelector(`tr[aria-rowindex="${active}"] button`)?.focus({ preventScroll: true });
}
function filter() {
  const words = q.value.toLowerCase().split(/\s+/).filter(Boolean), f = KINDS.find(k => k[0] === kind)[2], g = SORT[sortKey];
  view = [];
  for (let i = 0; i < N; i++) if (f(i) && words.every(w => texts[i].includes(w))) view.push(i);
  const keys = view.map(i => [g(i), i]);
  keys.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0) * sortDir || a[1] - b[1]);
  view = keys.map(k => k[1]);
  chips.querySelectorAll('button').forEach(b => b.setAttribute('aria-pressed', String(b.dataset.k === kind)));
  for (const [k, th] of Object.entries(ths)) if (k === sortKey) th.setAttribute('aria-sort', sortDir > 0 ? 'ascending' : 'descending'); else th.removeAttribute('aria-sort');
  count.textContent = view.length === N ? '' : `${num(view.length)} of ${num(N)}`;
  list.firstChild.setAttribute('aria-rowcount', view.length + 1);
  list.scrollTop = 0;
  paint(true);
}
function reveal(i) {
  kind = 'all';
  q.value = '';
  filter();
  list.scrollTop = Math.max(0, view.indexOf(i) * RH - 120);
  paint(true);
  $('tasks').scrollIntoView();
}
list.addEventListener('scroll', () => requestAnimationFrame(() => paint()), { passive: true });
list.addEventListener('click', () => { if (sel >= 0) history.replaceState(null, '', '#task-' + (K.call[sel] || K.id[sel])); });
if (N <= 11) list.classList.add('short');
const deep = () => {
  const m = /^#task-(.+)$/.exec(location.hash);
  if (!m || !K) return false;
  const key = decodeURIComponent(m[1]), i = K.call.findIndex((c, j) => String(c) === key || K.id[j] === key);
  if (i >= 0) openTask(i, true);
  return i >= 0;
};

