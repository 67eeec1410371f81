/* 3 run: latencies by phase */
const M = D.measures;
if (M.rows.length) {
  const tasks = [...new Set(M.rows.map(r => r.task))].filter(Boolean), body = h('table', { class: 'lats' });
  const never = (v, n) => v == null && n ? 'never' : ms(v);
  const drawMeasures = task => {
    const mine = M.rows.filter(r => r.task === task);
    body.replaceChildren(h('caption', { class: 'sr' }, `Latencies of ${task || 'all tasks'} by phase`),
      h('thead', {}, h('tr', {}, ['Phase', 'p50', 'p95', 'p99', 'Samples'].map(t => h('th', { scope: 'col' }, t)))),
      ...M.names.map(([metric, name, says]) => {
        const rows = mine.filter(r => r.metric === metric);
        return rows.length > 0 && h('tbody', {}, h('tr', {}, h('th', { colspan: 5, scope: 'rowgroup' }, name, ' ', h('span', { class: 'quiet' }, says))),
          rows.filter((r, i) => r.phase || rows.length !== 2).map(r => h('tr', {}, h('th', { scope: 'row' }, r.phase || 'all'),
            [r.p50, r.p95, r.p99].map(v => h('td', {}, never(v, r.never))), h('td', {}, num(r.count), r.never > 0 && h('span', { class: 'quiet' }, `, ${num(r.never)} never`)))));
      }).filter(Boolean));
  };
  const chooser = tasks.length > 1 && h('p', { class: 'choose' }, h('label', { for: 'lats-of' }, 'Of '), h('select', { id: 'lats-of', onchange: e => drawMeasures(e.target.value) },
    h('option', { value: '' }, 'all tasks'), tasks.map(t => h('option', { value: t }, t))));
  drawMeasures('');
  $('run').append(h('div', { class: 'measures' }, h('h3', {}, 'Latencies by phase'), M.says && h('p', { class: 'lead' }, M.says), chooser, body, M.doubt && h('p', { class: 'lead inconclusive' }, M.doubt), M.left && h('p', { class: 'keys' }, M.left)));
}

