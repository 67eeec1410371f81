/* life */
if (D.stories.length) drawStory();
drawCharts();
if (K) {
  filter();
  const told = D.stories.length ? K.id.indexOf(D.stories[0].task_id) : -1;
  openTask(told >= 0 ? told : view[0], false);
  deep();
}
let raf = 0, wasSmall = small();
const again = () => { cancelAnimationFrame(raf); raf = requestAnimationFrame(() => { if (wasSmall !== small()) { wasSmall = small(); if (D.stories.length) drawStory(); } layLanes(); drawCharts(); }); };
addEventListener('resize', again);
const paper = on => { printing = on; document.documentElement.classList.toggle('printing', on); paint(true); if (D.stories.length) drawStory(); drawCharts(); };
addEventListener('beforeprint', () => paper(true));
addEventListener('afterprint', () => paper(false));
document.fonts?.ready.then(again);
addEventListener('hashchange', deep);
const links = [...document.querySelectorAll('.bar nav a')];
const io = new IntersectionObserver(es => es.forEach(e => {
  const a = links.find(l => l.hash === '#' + e.target.id);
  if (a) if (e.isIntersecting) a.setAttribute('aria-current', 'true'); else a.removeAttribute('aria-current');
}), { rootMargin: '-30% 0px -65% 0px' });
document.querySelectorAll('section').forEach(x => io.observe(x));
