/* bar */
const PARTS = [['story', 'Story', D.stories.length], ['run', 'Run', D.series], ['checks', 'Checks', D.checks.length], ['tasks', 'Tasks', D.tasks], ['environment', 'Environment', true]];
for (const [id, , there] of PARTS) if (!there) $(id).remove();
$('bar').append(h('a', { class: 'state', href: '#verdict' }, mark(R.verdict), R.word, h('span', { class: 'nm quiet' }, R.scenario)),
  h('nav', { 'aria-label': 'Parts of this report' }, PARTS.filter(p => p[2]).map(([id, title]) => h('a', { href: '#' + id }, title))));

/* 1 verdict */
const fact = (title, ...what) => [h('dt', {}, title), h('dd', {}, what)];
const [say, ...log] = V.sentence.split('\n'); // what an environment's error quotes stays as it was written
const where = V.where && (D.stories.length ? h('a', { href: '#story', class: 'mono' }, V.where.text) : h('span', { class: 'mono' }, V.where.text));
$('verdict').append(
  h('p', { class: 'which' }, h('b', {}, 'Promise: ' + R.promise), R.facts.map(x => h('span', {}, x))),
  h('div', { class: 'big' }, mark(R.verdict),
    h('div', { class: 'body' }, h('p', { class: 'word ' + R.verdict }, R.word), h('h1', { id: 'verdict-h' }, V.headline), say && h('p', { class: 'say' }, say), log.length > 0 && h('pre', { class: 'said', tabindex: 0, role: 'region', 'aria-label': 'Last lines of its log' }, log.join('\n')),
      V.marks.length > 1 && h('ol', { class: 'mini n' + V.marks.length, 'aria-label': 'What happened to one task' },
        V.marks.map(x => h('li', { class: 'i-' + x.icon }, icon(x.icon), h('b', {}, x.title), x.note && h('span', {}, x.note)))),
      V.doubts.length > 1 && h('ul', { class: 'doubt', 'aria-label': 'What stands in the way of a pass' }, V.doubts.map(x => h('li', {}, mark('inconclusive', '', true), h('span', {}, x)))),
      h('dl', { class: 'facts' },
        where && fact('Where', where, V.where.task && h('small', {}, V.where.task)),
        V.fix && fact('Fix', V.fix),
        V.advice.length > 0 && fact('To decide', V.advice.map(x => h('span', {}, x + ' '))),
        V.reproduce && fact(R.verdict === 'pass' ? 'Run again' : 'Reproduce', copyBox(V.reproduce.command), h('small', {}, V.reproduce.title)))),
    h('div', { class: 'three' }, V.figures.map(x => h('div', {}, h('span', { class: 'num' + (x.bad ? ' fail' : '') }, x.value), h('span', { class: 'k' }, x.unit), x.text && h('span', { class: 't' }, x.text))))));
if (D.checks.length) $('verdict').append(h('ul', { class: 'strip', 'aria-label': many(D.checks.length, 'check') },
  D.checks.map((c, i) => h('li', { class: 'is-' + c.verdict }, h('a', { href: '#check-' + i }, h('span', { class: 'n' }, c.name), verdict(c.verdict), h('span', { class: 's2' }, c.summary))))));
if (V.others.length) $('verdict').append(h('div', { class: 'others' }, h('h2', {}, V.others.length === 1 ? 'One more finding' : `${num(V.others.length)} more findings`),
  h('ul', {}, V.others.map(f => h('li', {}, h('b', {}, f.word), f.headline, f.where && h('span', { class: 'quiet mono' }, ' ' + f.where))))));

