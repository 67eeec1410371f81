/* 3 run: what the parts used, a value per second */
const U = D.uses, UT = U ? U.step : 1, FEW = 3;
const useAt = (vs, t) => U ? vs[Math.max(0, Math.min(vs.length - 1, Math.floor((t - U.start) / UT + EPS)))] : null;
const size = v => v == null ? '–' : v >= 1024 ? `${(v / 1024).toFixed(1)} GB` : `${v < 99.95 ? +v.toFixed(1) : Math.round(v)} MB`;
const share2 = v => v == null ? '–' : v.toFixed(2);
// Up to three workers have a line each; of more, the highest and the mean.
const threads = by => {
  const names = Object.keys(by), looks = ['l', 'l h', 'l dark'];
  if (names.length <= FEW) return names.map((n, i) => [n, by[n], looks[i]]);
  const at = i => names.map(n => by[n][i]).filter(v => v != null), steps = [...by[names[0]].keys()];
  return [['highest', steps.map(i => at(i).length ? Math.max(...at(i)) : null), 'l dark'], [`mean of ${names.length}`, steps.map(i => at(i).length ? at(i).reduce((a, v) => a + v, 0) / at(i).length : null), 'l']];
};
const useChart = (id, title, rows, label) => rows.some(r => r[1].some(v => v != null)) && { id, h: 84, title, ...linear(rows.flatMap(r => r[1]), label), rows,
  read: t => rows.map(([n, vs, look]) => [look, [n, label(useAt(vs, t))].filter(Boolean).join(' ')]) };
const USES = () => !U ? [] : [
  useChart('cpu', 'Workers’ processor time, cores', threads(U.cpu), share2), useChart('memory', 'Workers’ memory', threads(U.memory), size),
  useChart('broker_memory', 'Broker’s memory', [['', U.broker_memory, 'l']], size), useChart('connections', 'Connections to the broker', [['', U.connections, 'l']], v => v == null ? '–' : plain(v)),
].filter(Boolean);
const useLine = (c, vs, cls) => {
  let d = '', pen = false;
  vs.forEach((v, i) => {
    const t = U.start + (i + .5) * UT;
    if (v == null || t > T1) { pen = false; return; }
    d += `${pen ? 'L' : 'M'}${sx(t).toFixed(1)} ${c.y(v).toFixed(1)}${pen ? '' : 'h.01'}`;
    pen = true;
  });
  return s('path', { class: cls, d });
};

