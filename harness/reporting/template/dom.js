const D = JSON.parse(document.getElementById('data').textContent);
document.documentElement.classList.remove('undrawn');
const $ = id => document.getElementById(id);
const NS = 'http://www.w3.org/2000/svg';
// Text from a run only ever enters by textContent: a task name or an exception can never become markup.
const put = (e, attrs, kids) => {
  for (const [k, v] of Object.entries(attrs || {})) {
    if (v == null || v === false) continue;
    if (k.startsWith('on')) e.addEventListener(k.slice(2), v); else e.setAttribute(k, v === true ? '' : v);
  }
  for (const k of kids.flat(9)) if (k != null && k !== false && k !== '') e.append(k);
  return e;
};
const h = (tag, attrs, ...kids) => put(document.createElement(tag), attrs, kids);
const s = (tag, attrs, ...kids) => put(document.createElementNS(NS, tag), attrs, kids);
const num = n => n.toLocaleString('en-US');
const many = (n, noun) => `${num(n)} ${noun}${n === 1 ? '' : 's'}`;
const ms = v => {
  if (v == null) return '–';
  if (v < 0.9995) return Math.round(v * 1000) + ' ms';
  return v < 99.95 ? v.toFixed(v < 9.995 ? 2 : 1) + ' s' : `${Math.floor(Math.round(v) / 60)} min ${Math.round(v) % 60} s`;
};
const SAY = { pass: 'pass', fail: 'fail', inconclusive: 'inconclusive', environment: 'not judged', none: 'not exercised' };

// Circle, octagon, diamond, square, ring: told apart without colour.
const SHAPES = {
  pass: ['circle', { cx: 12, cy: 12, r: 11 }],
  fail: ['path', { d: 'M7.4.9h9.2l6.5 6.5v9.2l-6.5 6.5H7.4L.9 16.6V7.4z' }],
  inconclusive: ['path', { d: 'M12 0 24 12 12 24 0 12z' }],
  environment: ['path', { d: 'M2 2h20v20H2z' }],
};
const GLYPHS = {
  pass: 'M7 12.6l3.4 3.4L17 8.8',
  fail: 'M8 8l8 8M16 8l-8 8',
  inconclusive: 'M8.9 9.3a3.1 3.1 0 1 1 4.6 2.7c-1.1.6-1.5 1.1-1.5 2.1M12 17.6v.1',
  environment: 'M12 6v8M12 17.6v.1',
};
function mark(v, title, soft) {
  const shape = SHAPES[v];
  return s('svg', { class: 'mark ' + v + (soft ? ' soft' : ''), viewBox: '0 0 24 24', ...(title ? { role: 'img', 'aria-label': title } : { 'aria-hidden': 'true' }) },
    shape ? [s(shape[0], { class: 's', ...shape[1] }), s('path', { class: 'g', d: GLYPHS[v] })] : s('path', { class: 'o', d: 'M6 12h12' }));
}
const STAR = 'M0-12l2.6 5.7 5.9-2.2-2.2 5.9 5.7 2.6-5.7 2.6 2.2 5.9-5.9-2.2-2.6 5.7-2.6-5.7-5.9 2.2 2.2-5.9-5.7-2.6 5.7-2.6-2.2-5.9 5.9 2.2z';
const OCT = 'M-4.6-11.1h9.2l6.5 6.5v9.2l-6.5 6.5h-9.2l-6.5-6.5v-9.2z';
const ICONS = {
  coin: () => [s('circle', { class: 'coin', r: 11 }), s('text', { class: 'cn', y: 4 }, '1')],
  bad: () => [s('path', { class: 'coin2', d: OCT }), s('path', { class: 'bx', d: 'M-4-4 4 4M4-4-4 4' })],
  boom: () => [s('path', { class: 'boom', d: STAR }), s('path', { class: 'bx', d: 'M-3-3 3 3M3-3-3 3' })],
  wait: () => [s('circle', { class: 'ring2', r: 10 }), s('path', { class: 'hand2', d: 'M0-6V0L4 3' })],
  again: () => [s('circle', { class: 'ring2', r: 10 }), s('path', { class: 'hand2', d: 'M-5 0H4M0-4 4 0 0 4' })],
  send: () => [s('circle', { class: 'coin', r: 11 }), s('path', { class: 'bx', d: 'M-5 0H4M0-4 4 0 0 4' })],
};
const icon = k => s('svg', { class: 'ic', viewBox: '-13 -13 26 26', 'aria-hidden': 'true' }, ICONS[k]());
const verdict = (v, word) => h('span', { class: 'v ' + v }, mark(v), word || SAY[v]);
const copyBox = text => {
  const code = h('code', {}, text);
  const b = h('button', { type: 'button', 'aria-label': 'Copy: ' + text, onclick: async () => {
    try { await navigator.clipboard.writeText(text); b.textContent = 'Copied'; } catch { getSelection().selectAllChildren(code); b.textContent = 'Selected'; }
    setTimeout(() => { b.textContent = 'Copy'; }, 1600);
  } }, 'Copy');
  return h('div', { class: 'cmd' }, code, b);
};
const head = (id, title, lead) => h('div', { class: 'head' }, h('h2', { id: id + '-h' }, title), lead && h('p', { class: 'lead' }, lead));
const R = D.run, V = D.verdict, EPS = 1e-9;
const css = (e, name, value) => { e.style.setProperty(name, value); return e; };
const small = () => document.documentElement.clientWidth < 641 && !printing;
let printing = false;

