/* 2 story */
let si = 0, at = 0;
const lanesBox = h('div', { class: 'lanes' }), srcRows = {}, liveSay = h('p', { class: 'sr', 'aria-live': 'polite' });
const storyLead = h('p', { class: 'lead' }), sideBox = h('div', { class: 'side' }), legend = h('div', { class: 'legend', 'aria-hidden': 'true' });
const pickLabel = st => st.title.length > 40 ? st.title.slice(0, 39) + '…' : st.title;
const pick = h('div', { class: 'pick', role: 'group', 'aria-label': 'Which story' }, D.stories.map((st, i) =>
  h('button', { type: 'button', 'aria-pressed': String(i === 0), onclick: () => showStory(i) }, `${st.word}: ${pickLabel(st)}`)));
function showStory(i) {
  si = i;
  [...pick.children].forEach((b, j) => b.setAttribute('aria-pressed', String(i === j)));
  drawStory();
}

function leadOf(st) {
  const deliveries = new Set(st.steps.map(x => x.delivery).filter(Boolean)).size, messages = st.steps.filter(x => x.kind === 'publish' || x.kind === 'retry').length || 1;
  const effects = st.steps.filter(x => x.kind === 'effect' || x.kind === 'effect_again').length, parts = [many(messages, 'message')];
  parts.push(deliveries ? (deliveries === 1 ? '1 delivery' : deliveries + ' deliveries') : 'no delivery');
  if (effects) parts.push(many(effects, 'effect'));
  return `Task ${st.task}: ${parts.join(', ')}.` + (si ? ' ' + (st.sentence || st.headline) : '');
}

function sourceTable(st) {
  const ran = new Map(), struck = new Set();
  for (const x of st.steps) {
    if (x.line == null || !x.delivery) continue;
    if (x.kind === 'crash') struck.add(x.line + '/' + x.delivery); else (ran.get(x.delivery) || ran.set(x.delivery, new Set()).get(x.delivery)).add(x.line);
  }
  for (const key of struck) { const d = +key.split('/')[1]; if (!ran.has(d)) ran.set(d, new Set()); }
  const columns = [...ran.keys()].sort((a, b) => a - b).slice(0, 4);
  const body = h('tbody', {}, st.source.map(([n, code]) => {
    const hot = n === st.line;
    const row = h('tr', { class: hot ? 'crash' : '' }, columns.map((d, j) => h('td', { class: 'd' + (j ? '' : ' d1') },
      struck.has(n + '/' + d) ? h('span', { class: 'x' }, '✕') : ran.get(d).has(n) ? '•' : '')), h('td', { class: 'no' }, String(n)), h('td', { class: 'code' }, code || ' '));
    srcRows[n] = row;
    return hot && st.hint ? [row, h('tr', { class: 'hint' }, h('td', { colspan: columns.length + 1 }), h('td', {}, st.hint))] : row;
  }));
  const note = columns.length ? `• line seen in delivery ${columns.join(', ')}` : '';
  return h('div', {}, h('h3', {}, h('span', { class: 'mono' }, st.file), h('small', {}, note)),
    h('div', { class: 'src', tabindex: 0, role: 'region', 'aria-label': 'Source code' }, h('table', { 'aria-label': 'Source with the lines that each delivery was seen in' }, body)));
}

function worldTable(st) {
  const th = text => h('th', { scope: 'col' }, text);
  return h('div', {}, h('h3', {}, 'The world, as others see it', h('small', {}, 'pick a step: ↑ ↓')),
    h('table', { class: 'world' }, h('thead', {}, h('tr', {}, h('td'), th('before'), th('after'), th('expected'))), h('tbody', {}, st.world.map(w =>
      h('tr', {}, h('th', { scope: 'row' }, w.name), h('td', {}, w.before), h('td', { class: w.wrong ? 'bad' : '' }, (w.wrong ? '✕ ' : '') + w.after), h('td', {}, w.expected))))));
}

function drawStory() {
  const st = D.stories[si], S = st.steps, n = st.lanes.length;
  for (const k of Object.keys(srcRows)) delete srcRows[k];
  $('story-h').textContent = st.title;
  storyLead.textContent = leadOf(st);
  css(css(lanesBox, '--n', n), '--lane', `${Math.max(18, Math.min(small() ? 21 : 62, (small() ? 130 : 372) / n))}px`);
  const hd = h('div', { class: 'hd' + (n > 6 ? ' many' : ''), 'aria-hidden': 'true' }, h('span', {}, 'time, s'), st.lanes.map(l => h('span', {}, l.name)), h('span', {}, 'event'));
  css(hd, 'grid-template-columns', `${small() ? '' : 'var(--time) '}repeat(${n}, var(--lane)) minmax(0, 1fr)`);
  lanesBox.replaceChildren(hd);
  const ol = h('ol', { 'aria-label': 'Events in order' });
  S.forEach((x, i) => {
    const kids = [h('span', { class: 'at' }, x.kind === 'wait' ? '' : x.at.toFixed(3)), h('span', { class: 'ln' }), h('span', { class: 'tx' }, h('b', {}, x.text), x.note && ' ', x.note && h('small', {}, x.note))];
    const cls = `step ${x.kind}${x.bad ? ' bad' : ''}`;
    ol.append(h('li', {}, x.kind === 'wait' ? h('div', { class: cls }, kids) : h('button', { type: 'button', class: cls, 'data-i': i, tabindex: -1, onclick: () => choose(i, true) }, kids)));
  });
  ol.addEventListener('keydown', e => {
    const go = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[e.key];
    if (!go) return;
    e.preventDefault();
    let i = at + go;
    while (S[i] && S[i].kind === 'wait') i += go;
    if (S[i]) choose(i, true);
  });
  lanesBox.append(ol, s('svg', { class: 'g', 'aria-hidden': 'true' }));
  sideBox.replaceChildren(...[st.source.length && sourceTable(st), st.world.length && worldTable(st),
    st.fix && h('div', { class: 'fix' }, h('h3', {}, 'Fix'), h('p', {}, st.fix))].filter(Boolean));
  const first = ['crash', 'fault'].map(k => S.findIndex(x => x.kind === k)).find(i => i >= 0), bad = S.findIndex(x => x.bad);
  choose(first ?? (bad >= 0 ? bad : S.findIndex(x => x.kind !== 'wait')), false);
  layLanes();
}
function choose(i, focus) {
  const x = D.stories[si].steps[i];
  if (!x) return;
  at = i;
  lanesBox.querySelectorAll('button.step').forEach(b => {
    const on = +b.dataset.i === i;
    b.tabIndex = on ? 0 : -1;
    if (on) b.setAttribute('aria-current', 'true'); else b.removeAttribute('aria-current');
    if (on && focus) b.focus({ preventScroll: false });
  });
  for (const r of Object.values(srcRows)) r.classList.remove('now');
  if (x.line != null) srcRows[x.line]?.classList.add('now');
  if (focus) liveSay.textContent = x.line == null ? x.text : `${x.text}, line ${x.line}`;
}
if (D.stories.length) $('story').append(h('div', { class: 'head' }, h('h2', { id: 'story-h' }), storyLead, D.stories.length > 1 && pick),
  h('div', { class: 'tell' }, h('div', {}, lanesBox, legend, liveSay), sideBox));

