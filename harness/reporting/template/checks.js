/* 4 checks */
const BIT = { true: 'bit: ', false: 'did not bite: ', null: 'cannot be told: ' };
const cell = (v, text, fault) => h('td', { class: 'by ' + v, 'data-h': fault }, h('span', { class: 'cell' }, mark(v, SAY[v], true), v === 'fail' ? h('strong', {}, text) : h('span', { class: v === 'none' ? 'quiet' : '' }, text)));
const wholeRun = c => h('td', { 'data-h': 'Whole run' }, verdict(c.verdict, c.words.length ? `${SAY[c.verdict]} · ${c.words.join(', ')}` : null), h('span', { class: 'say' }, c.summary),
  c.where && (D.stories.length ? h('a', { href: '#story', class: 'mono' }, c.where) : h('span', { class: 'mono' }, c.where)), c.advice && h('span', { class: 'say' }, c.advice));
if (D.checks.length) {
  const nf = D.faults.length, widths = [[36, 64], [28, 36], [25, 31], [22, 26]][nf] || [Math.max(14, 23 - nf), Math.max(16, 27 - nf)], rest = (100 - widths[0] - widths[1]) / (nf || 1), table = h('table', { class: 'm' },
    h('colgroup', {}, [...widths, ...D.faults.map(() => rest)].map(w => css(h('col'), 'width', w + '%'))),
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Check'), h('th', { scope: 'col' }, 'Whole run'), D.faults.map(f => h('th', { scope: 'col' }, h('b', {}, f.name), [f.planned, f.target].filter(Boolean).join(', '),
      h('span', { class: 'bit' + (f.bit === true ? '' : ' inconclusive') }, h('b', {}, BIT[f.bit]), f.evidence), f.where && h('span', { class: 'bit mono' }, f.where), !f.healed && h('span', { class: 'bit' }, 'could not be healed'))))),
    h('tbody', {}, D.checks.map((c, i) => h('tr', { class: 'is-' + c.verdict, id: 'check-' + i }, h('th', { scope: 'row' }, h('span', { class: 'n' }, c.name), h('span', { class: 'q' }, c.question)), wholeRun(c),
      D.faults.map((f, j) => cell(...(c.by[j] || ['none', '']), f.name))))));
  if (nf > 4) css(table, 'min-width', `${340 + nf * 150}px`);
  $('checks').append(head('checks', nf ? 'What was promised, and which fault broke it' : 'What was promised',
    nf ? 'A fault that never bit proves nothing, so each one shows what it hit. A dash means that the fault gave this check nothing to judge.' : 'No fault was injected: this is how it behaves when nothing goes wrong.'),
    nf > 4 ? h('div', { class: 'wide', tabindex: 0, role: 'region', 'aria-label': 'Checks by fault' }, table) : table);
}

