const line = (c, vs, cls, off = 0) => {
  let d = '', pen = false;
  vs.forEach((v, i) => { if (v == null) { pen = false; return; } d += `${pen ? 'L' : 'M'}${sx(T0 + i * STEP + off).toFixed(1)} ${c.y(v).toFixed(1)}${pen ? '' : 'h.01'}`; pen = true; });
  return s('path', { class: cls, d });
};
const stair = (c, vs, cls) => s('path', { class: cls, d: vs.map((v, i) => `${i ? 'L' : 'M'}${sx(T0 + i * STEP).toFixed(1)} ${c.y(v).toFixed(1)}H${sx(T0 + (i + 1) * STEP).toFixed(1)}`).join('') });
const tag = (x, y, t, cls = 'note halo', anchor = 'start') => s('text', { class: cls, x, y, 'text-anchor': anchor }, t);
const fitting = (texts, px) => texts.find(t => t.length * 6.6 <= px) || '';
const clip = (text, px) => { const n = Math.floor(px / 6.6); return text.length <= n ? text : n < 3 ? '' : text.slice(0, n - 1) + '…'; };

const DRAW = {
  dots(c, g) {
    const special = [], heat = N > HEAT_ABOVE, cell = 6, cells = new Map();
    let d = '';
    for (let i = 0; i < N; i++) {
      if (K.latency[i] == null && !isBad(i) && !hasFailed(i)) continue;
      const x = sx(K.due[i]), y = c.y(K.latency[i] ?? c.log[1]);
      if (isBad(i) || hasFailed(i) || has(i, 2)) special.push([isBad(i) ? 2 : hasFailed(i) ? 1 : 0, x, y]);
      else if (heat) { const key = Math.floor(x / cell) + ',' + Math.floor(y / cell); cells.set(key, (cells.get(key) || 0) + 1); } else d += `M${x.toFixed(1)} ${y.toFixed(1)}h0`;
    }
    if (heat) heatMap(g, cells, cell); else g.push(s('path', { class: 'dots', d }));
    special.sort((a, b) => a[0] - b[0]);
    const keep = new Set(), apart = special.filter(([k, x, y]) => { const key = `${k}/${Math.round(x / 3)}/${Math.round(y / 3)}`; return !keep.has(key) && keep.add(key); });
    for (const [k, x, y] of apart) g.push(k === 2 ? s('path', { class: 'oct', transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(.72)`, d: OCT }) :
      k === 1 ? s('path', { class: 'tri', d: `M${x.toFixed(1)} ${(y - 6).toFixed(1)}l6 10.5h-12z` }) : s('circle', { class: 'ring', cx: x.toFixed(1), cy: y.toFixed(1), r: 4 }));
    const bad = special.filter(p => p[0] === 2);
    if (bad.length) {
      const word = `${num(bad.length)} with a finding`, right = bad[0][1] < WID - 160;
      g.push(tag(bad[0][1] + (right ? 14 : -14), bad[0][2] + 4, word, 'note b halo', right ? 'start' : 'end'));
    }
  },
  latency(c, g) {
    g.push(line(c, Q.p99, 'l dark', STEP / 2), line(c, Q.p50, 'l thin', STEP / 2), line(c, Q.p95, 'l', STEP / 2));
  },
  rate(c, g) { g.push(stair(c, Q.published, 'l ref'), stair(c, Q.finished, 'l')); },
  queue(c, g, narrow) {
    const d = Q.ready.map((v, i) => `L${sx(T0 + (i + .5) * STEP).toFixed(1)} ${c.y(v).toFixed(1)}`).join('');
    g.push(s('path', { class: 'area', d: `M${sx(T0 + STEP / 2)} ${c.y(0)}${d}V${c.y(0)}Z` }), line(c, Q.unacked, 'l h', STEP / 2), line(c, Q.ready, 'l', STEP / 2));
    const slow = F.filter(f => f.recovery).sort((a, b) => b.recovery - a.recovery)[0];
    if (!slow) return;
    const a = sx(slow.end), b = Math.min(sx(slow.end + slow.recovery), WID - PADR), Y = 12;
  if (b - a < 2) return;
  const word = (narrow ? '' : 'recovery ') + (slow.recovery < 1 ? ms(slow.recovery) : slow.recovery.toFixed(1) + ' s'), half = word.length * 3.4;
  const x = Math.max(PADL + half, Math.min(WID - PADR - half, (a + b) / 2));
    g.push(s('path', { class: 'rec', d: `M${a} ${Y - 4}v8M${a} ${Y}H${b}m0 -4v8` }), s('text', { class: 'rect halo', x, y: Y + 16, 'text-anchor': 'middle' }, word));
  },
  oldest(c, g) { g.push(line(c, Q.oldest, 'l', STEP / 2)); },
  again(c, g) {
    const w = Math.max(2, sx(T0 + STEP) - sx(T0) - 3);
    for (let i = 0; i < BINS; i++) {
      let base = 0;
      for (const [vs, cls] of [[Q.retried, 'bar1'], [Q.redelivered, 'bar4'], [Q.duplicated, 'bar3']]) {
        if (!vs[i]) continue;
        g.push(s('rect', { class: cls, x: sx(T0 + i * STEP) + 1.5, width: w, y: c.y(base + vs[i]), height: c.y(base) - c.y(base + vs[i]) }));
        base += vs[i];
      }
    }
  },
  workers(c, g) {
    D.lanes.forEach((lane, i) => {
      const Y = 10 + i * 26;
      for (const [from, to, state] of lane.spans) {
        const a = sx(Math.max(T0, from)), b = sx(Math.min(T1, to));
        if (b <= a) continue;
        g.push(s('rect', { class: { up: 'up', cut: 'bar3' }[state] || 'downx', x: a, y: Y, width: b - a, height: 16 }));
        if (state !== 'up') g.push(tag(a + 5, Y + 12, fitting(['cut off from the broker', 'cut off'].filter(() => state === 'cut').concat(STATE[state] || state), b - a - 8), 'note'));
      }
      const first = lane.spans.find(([, to, state]) => state === 'up' && to > T0);
      if (first) g.push(tag(sx(Math.max(T0, first[0])) + 8, Y + 12, clip(lane.name, sx(Math.min(T1, first[1])) - sx(Math.max(T0, first[0])) - 12), 'inbar'));
    });
  },
  axis(c, g) {
    const span = T1 - T0, want = Math.max(2, Math.floor(WID / 90)), unit = [.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200].find(u => span / u <= want) || span / 2;
    for (let t = Math.ceil(T0 / unit) * unit; t <= T1 + EPS; t += unit) g.push(tag(sx(t), 16, +t.toFixed(1) + ' s', 'tick', sx(t) > WID - 20 ? 'end' : 'middle'));
  },
};
function heatMap(g, cells, cell) {
  const paths = ['', '', '', '', ''], top = Math.max(1, ...cells.values());
  for (const [key, n] of cells) { const [x, y] = key.split(','); paths[Math.min(4, Math.floor(Math.log(n) / Math.log(top + 1) * 5))] += `M${x * cell} ${y * cell}h${cell}v${cell}h-${cell}z`; }
  paths.forEach((d, i) => d && g.push(s('path', { class: 'heat' + i, d })));
}

// Labels that would overlap go to a row of their own.
function trackRows(narrow) {
  const ends = [];
  return F.map(f => {
    const x = sx(f.begun), span = f.end - f.begun < .05 ? `${f.begun.toFixed(1)} s` : `${f.begun.toFixed(1)}–${f.end.toFixed(1)} s`;
    const name = narrow ? f.name.split('.').pop() : f.name, text = narrow ? name : `${name}  ${span}`, w = text.length * 6.9 + 14, left = x + w > WID;
    const from = left ? Math.max(0, x - w) : x;
    let row = ends.findIndex(e => e <= from);
    if (row < 0) row = ends.length;
    ends[row] = from + w;
    return { f, x, row, text: clip(text, WID - 20), left };
  });
}
function windows(c, g, H) {
  const pattern = (id, ...kids) => s('pattern', { id: `${id}-${c.id}`, width: 7, height: 7, patternUnits: 'userSpaceOnUse', ...(id === 'hx' ? { patternTransform: 'rotate(45)' } : {}) }, kids);
  g.push(s('defs', {}, pattern('hx', s('line', { class: 'hatch', x1: 0, y1: 0, x2: 0, y2: 7 })), pattern('dx', s('circle', { class: 'dotp', cx: 2, cy: 2, r: 1 }))));
  for (const f of F) {
    const x = sx(f.begun), width = sx(f.end) - x;
    if (width > .5) g.push(s('rect', { class: 'fw', x, y: 0, width, height: H }), f.pattern && s('rect', { x, y: 0, width, height: H, fill: `url(#${f.pattern}-${c.id})` }));
    if (width < 3 || /kill|crash/.test(f.name)) g.push(s('line', { class: 'kline', x1: x, x2: x, y1: 0, y2: H }));
  }
}
function drawCharts() {
  if (!Q) return;
  WID = CH[0].svg.clientWidth || 900;
  const narrow = WID < 520, rows = trackRows(narrow), lines = rows.reduce((a, r) => Math.max(a, r.row + 1), 1);
  for (const c of CH) {
    const H = c.h || 12 + lines * 17, g = [];
    if (!c.h) css(c.svg, 'height', H + 'px');
    c.svg.setAttribute('viewBox', `0 0 ${WID} ${H}`);
    c.svg.setAttribute('preserveAspectRatio', 'none');
    const scale = f => { const [a, b] = (c.log || c.lin).map(f); return v => H - 6 - (f(v) - a) / (b - a) * (H - 14); };
    if (c.log) { const y = scale(Math.log); c.y = v => y(Math.max(v, c.log[0])); } else if (c.lin) c.y = scale(v => v);
    if (c.id !== 'axis') windows(c, g, H);
    if (c.id === 'track') for (const r of rows) g.push(tag(r.left ? r.x - 6 : r.x + 6, 17 + r.row * 17, r.text, 'note halo', r.left ? 'end' : 'start'));
    for (const [v, t] of c.ticks || []) g.push(s('line', { class: 'grid', x1: PADL, x2: WID - PADR, y1: c.y(v), y2: c.y(v) }), tag(PADL - 6, Math.min(H - 3, c.y(v) + 4), t, 'tick r', 'end'));
    if (c.rows) for (const [, vs, look] of c.rows) g.push(useLine(c, vs, look));
    DRAW[c.id]?.(c, g, narrow);
    c.svg.replaceChildren(...g.filter(Boolean));
  }
  setCur(cur);
}

