/* the parts of the page: all tasks, then each with its story */
const LOOKS = [['fails', 'fail'], ['inconclusive', 'inconclusive'], ['certified', 'pass']];
const single = D.tasks.length === 1;
// Of one task the headings are a level higher.
const HEAD = single ? 'h2' : 'h3', SUB = single ? 'h3' : 'h4';
const EYE = () => s('svg', { class: 'ic', viewBox: '-13 -13 26 26', 'aria-hidden': 'true' }, s('circle', { class: 'seen', r: 9 }), s('circle', { class: 'dot', r: 3.5 }));
const PLAIN = () => s('svg', { class: 'ic', viewBox: '-13 -13 26 26', 'aria-hidden': 'true' }, s('circle', { class: 'dot', r: 4 }));
const ROWS = { kill: () => icon('boom'), world: EYE, again: () => icon('again'), wrong: () => icon('bad'), did: PLAIN };
const fact = (name, ...kids) => kids.flat().some(Boolean) ? [h('dt', {}, name), h('dd', {}, kids)] : [];

function source(f) {
  if (!f.source.length) return null;
  return h('div', {}, h('div', { class: 'srch' }, h('code', {}, f.place), f.function && h('span', { class: 'quiet mono' }, f.function)),
    h('div', { class: 'src', tabindex: 0, role: 'region', 'aria-label': 'Source around ' + f.place }, h('table', { role: 'presentation' }, h('tbody', {}, f.source.map(([no, code, hot]) =>
      h('tr', { class: hot ? 'hot' : '' }, h('td', { class: 'x' }, hot ? '✕' : ''), h('td', { class: 'no' }, no), h('td', { class: 'code' }, code)))))));
}
function differences(f) {
  if (!f.differences.length) return null;
  return h('div', {}, h(SUB, { class: 'sub' }, 'What differs, as others see it'), h('table', { class: 'diff' },
    h('thead', {}, h('tr', {}, ['what', 'before', 'after', 'expected'].map(t => h('th', { scope: 'col' }, t)))),
    h('tbody', {}, f.differences.map(([what, before, after, expected]) => h('tr', {}, h('th', { scope: 'row' }, what), h('td', {}, before), h('td', { class: 'bad' }, '✕ ' + after), h('td', {}, expected))))),
    f.more > 0 && h('p', { class: 'quiet' }, `and ${many(f.more, 'more difference')}, in exploration.json`));
}
function flaw(f, n) {
  return h('article', { class: 'flaw' },
    h('header', {}, h('p', { class: 'word fail' }, f.word), single && n === 0 ? h(HEAD, { class: 'hd' }, 'How it comes to that') : h(HEAD, { class: 'hd' }, f.headline)),
    h('div', {}, h('ol', { class: 'told' }, f.story.map((row, i) => h('li', { class: row.kind }, h('span', { class: 'no' }, i + 1), ROWS[row.kind](), h('span', {}, row.text)))),
      f.proof && h('p', { class: 'after' }, f.proof)),
    h('div', { class: 'side' }, source(f), differences(f), h('div', { class: 'fix' }, h(SUB, { class: 'sub' }, 'Fix'), h('p', {}, f.fix))));
}
function facts(t) {
  const replays = t.flaws.filter(f => f.replay), refused = [...new Set(t.flaws.map(f => f.refused).filter(Boolean))];
  const f = t.flaws[0];
  return h('dl', { class: 'facts' },
    fact('Task', h('code', {}, t.call)),
    fact('Where', t.place && h('code', {}, t.place), f && f.function && h('small', {}, `in ${f.function}`)),
    fact('Fix', f && f.fix),
    fact('Reproduce', copyBox(t.command)),
    fact('Real workers', replays.map(x => copyBox(x.replay)), refused.map(why => h('small', {}, `Not saved for real workers: ${why}.`))));
}
function doubts(t) {
  if (!t.doubts.length) return null;
  return [h(HEAD, { class: 'hd' }, 'Why it is undecided'), h('ul', { class: 'doubts' }, t.doubts.map(d => h('li', {}, d.what, d.advice && h('small', {}, d.advice))))];
}
function certificate(t) {
  if (!t.covered.length && !t.excluded.length) return null;
  const list = (title, look, lines) => lines.length > 0 && h('div', { class: look }, h(HEAD, { class: 'hd' }, title), h('ul', {}, lines.map(x => h('li', {}, x))));
  return h('div', { class: 'cert' }, list('What is certified', 'yes', t.covered), list('What is not covered', 'no', t.excluded));
}
const whole = t => [facts(t), t.notes.map(x => h('p', { class: 'note' }, x)), doubts(t), t.flaws.map(flaw), mapOf(t), certificate(t)].flat(9).filter(Boolean);
function summary(t) {
  return h('summary', {}, mark(t.look, t.word), h('div', {}, h('h2', { id: t.id + '-h' }, t.call), h('span', { class: 'say' }, t.brief)));
}
function overview() {
  const rows = D.tasks.map(t => h('tr', { 'data-v': t.verdict },
    h('td', { class: 'c-v' }, verdict(t.look, t.word)),
    h('th', { class: 'c-t', scope: 'row' }, h('a', { href: '#' + t.id }, t.call)),
    h('td', { class: 'c-h' }, t.kind && h('b', { class: t.look }, t.kind + ' '), t.brief), h('td', { class: 'c-p mono' }, t.place),
    h('td', { class: 'c-n', 'data-h': 'worlds' }, t.worlds), h('td', { class: 'c-n', 'data-h': 'kills' }, t.kills), h('td', { class: 'c-s' }, t.seconds)));
  return h('table', { class: 'all' }, h('caption', { class: 'sr' }, 'All tasks'), h('thead', {}, h('tr', {}, [['verdict', 'c-v'], ['task', 'c-t'], ['what was found', 'c-h'], ['where', 'c-p'], ['worlds', 'c-n'], ['kills', 'c-n'], ['time', 'c-s']]
    .map(([t, c]) => h('th', { scope: 'col', class: c }, t)))), h('tbody', {}, rows));
}
