/* 7 environment */
const E = D.environment, hot = /^\s*-?\s*\{?.*\bfault:/;
$('environment').append(head('environment', 'What ran, and how to run it again'),
  E.again.length > 0 && h('h3', {}, 'Run it again') || '', h('dl', { class: 'again' }, E.again.map(x => h('div', {}, h('dt', {}, x.title), h('dd', {}, copyBox(x.command))))),
  h('div', { class: 'envs' }, h('div', { class: 'blk' }, h('h3', {}, 'Environment'), h('dl', { class: 'kv' }, E.rows.map(([k, v]) => [h('dt', {}, k), h('dd', {}, v)]))),
    E.plan ? h('div', { class: 'blk' }, h('h3', {}, 'Plan ', h('small', { class: 'quiet mono' }, E.file)), h('pre', { tabindex: 0, role: 'region', 'aria-label': 'Scenario file' }, E.plan.split('\n').map(l => h('span', { class: hot.test(l) ? 'hot' : '' }, l || ' ')))) : ''));
if (E.undeclared.length) $('environment').append(h('div', { class: 'logs' }, h('div', {}, h('h3', {}, 'Undeclared services: refused connections'), h('ul', { class: 'mono' }, E.undeclared.map(x => h('li', {}, x))))));
if (E.logs.length) $('environment').append(h('div', { class: 'logs' }, E.logs.map(l => h('div', {}, h('h3', {}, l.process + ' ', h('small', { class: 'quiet mono' }, l.file)),
  h('pre', { tabindex: 0, role: 'region', 'aria-label': 'Log of ' + l.process }, l.lines.join('\n'))))));
$('foot').append('celery-harness. One file, no network: everything on this page comes from ', h('code', {}, 'result.json'), ' beside it.');

