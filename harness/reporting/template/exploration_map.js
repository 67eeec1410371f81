/* the map: for the eye a line of stops; the same as a table, which is also what a narrow screen and a long task show */
const WIDEST = 13;
const range = x => x.first === x.last ? String(x.first) : `${x.first}–${x.last}`;
function line(m) {
  const columns = m.stops.length, path = h('div', { class: 'path', 'aria-hidden': 'true' });
  css(path, 'grid-template-columns', `84px repeat(${columns}, minmax(0, 1fr))`);
  const span = (e, w) => css(e, 'grid-column', `${w.at + 2} / ${w.at + w.span + 2}`);
  const look = i => m.worlds.find(w => i >= w.at && i < w.at + w.span).look;
  const stops = m.stops.map((x, i) => h('div', { class: `stop ${look(i)}${i ? '' : ' first'}${i === columns - 1 ? ' last' : ''}` },
    h('span', { class: 'pt' }, mark(look(i), '', true)), h('span', { class: 'call' }, x.words, h('span', { class: 'ln' }, `${range(x)}${x.short && ' · ' + x.short}`))));
  path.append(h('div', { class: 'rl' }, 'killed before'), ...stops,
    h('div', { class: 'rl' }, 'it leaves'), ...m.worlds.map(w => span(h('div', { class: 'wld ' + w.look }, w.leaves), w)),
    h('div', { class: 'rl' }, m.then), ...m.worlds.map(w => span(h('div', { class: 'wld out ' + w.look }, mark(w.look, '', true), h('span', {}, w.ends)), w)));
  return path;
}
function table(m, call) {
  return h('table', { class: 'stops' }, h('caption', { class: 'sr' }, `Crash points of ${call}`),
    h('thead', {}, h('tr', {}, ['stop', 'killed before', 'line', 'it leaves', m.then].map(t => h('th', { scope: 'col' }, t)))),
    h('tbody', {}, m.stops.map((x, i) => {
      const w = m.worlds.find(one => one.at === i);
      return h('tr', {}, h('th', { scope: 'row' }, range(x)), h('td', {}, x.words), h('td', { class: 'ln mono' }, x.at),
        w && [h('td', { class: 'of ' + w.look, rowspan: w.span }, w.leaves), h('td', { class: 'out ' + w.look, rowspan: w.span }, mark(w.look, '', true), ' ', w.ends)]);
    })));
}
function mapOf(t) {
  const m = t.map;
  const figures = t.figures.length > 0 && h('dl', { class: 'figs' }, t.figures.map(([n, text]) => h('div', {}, h('dt', {}, text), h('dd', {}, n))));
  if (!m) return figures ? [h(HEAD, { class: 'hd' }, 'What was visited'), figures] : null;
  return [h(HEAD, { class: 'hd' }, 'Every point where a crash can matter'), h('p', { class: 'lead' }, m.caption), figures,
    h('div', { class: 'map' + (m.stops.length <= WIDEST ? ' drawn' : '') }, m.stops.length <= WIDEST && line(m), table(m, t.call)),
    m.left_out > 0 && h('p', { class: 'after' }, `and ${many(m.left_out, 'more stop')}, in exploration.json`),
    m.again && h('p', { class: 'after' }, '“Same”: what a clean execution leaves, or, if the call is told as failed, what was there before it.')];
}
