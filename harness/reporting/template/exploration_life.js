/* put together */
const counts = LOOKS.map(([v, look]) => [v, look, D.tasks.filter(t => t.verdict === v).length]).filter(x => x[2]);
const top = h('section', { id: 'verdict', 'aria-labelledby': 'verdict-h' },
  h('p', { class: 'which' }, h('b', {}, D.target), D.facts.map(x => h('span', {}, x))),
  h('div', { class: 'big' }, mark(D.look, ''), h('div', {}, h('p', { class: 'word ' + D.look }, D.word), h('h1', { id: 'verdict-h', class: D.headline.length > 90 ? 'long' : '' }, D.headline))));
$('main').append(top);
$('bar').append(h('a', { class: 'state', href: '#verdict' }, mark(D.look, ''), h('span', { class: D.look }, D.word), h('span', {}, D.target)));
if (single) top.append(h('div', { class: 'one', id: D.tasks[0].id }, whole(D.tasks[0])));
else if (D.tasks.length) {
  const boxes = D.tasks.map((t, i) => h('details', { id: t.id, 'data-v': t.verdict, open: i === 0 && t.verdict !== 'certified' }, summary(t), h('div', { class: 'one' }, whole(t))));
  const choose = v => {
    for (const b of chips.children) b.setAttribute('aria-pressed', String(b.dataset.v === v));
    for (const e of document.querySelectorAll('.all tbody tr, details')) e.hidden = v !== '' && e.dataset.v !== v;
  };
  const chip = (v, ...kids) => h('button', { type: 'button', 'data-v': v, 'aria-pressed': String(v === ''), onclick: () => choose(v) }, kids);
  const chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Show tasks by verdict' }, chip('', `All ${num(D.tasks.length)}`), counts.map(([v, look, n]) => chip(v, mark(look, '', true), `${v} ${num(n)}`)));
  top.append(counts.length > 1 ? chips : '', overview());
  $('main').append(h('section', { id: 'tasks', 'aria-label': 'Each task' }, boxes));
  const go = () => { const e = location.hash.length > 1 && $(location.hash.slice(1)); if (e && e.tagName === 'DETAILS') { if (e.hidden) choose(''); e.open = true; e.scrollIntoView(); } };
  addEventListener('hashchange', go);
  go();
  let shut = [];
  addEventListener('beforeprint', () => { choose(''); shut = boxes.filter(b => !b.open); shut.forEach(b => { b.open = true; }); });
  addEventListener('afterprint', () => shut.forEach(b => { b.open = false; }));
}
$('foot').append('celery-harness explore. One file, no network: everything on this page comes from ', h('code', {}, 'exploration.json'), ' beside it, and the lines of your source.');
