// Runs in a page before its own scripts: presses as soon as that is possible, and takes the times.
// `steps`: functions that return the element to press next, or nothing.
// `answered`: whether the page shows the answer.
(() => {
  if (window !== window.top || window.probed) return;
  window.probed = true;
  const steps = [/*STEPS*/];
  const answered = () => /*ANSWERED*/ false;
  // A press without an answer for this long is lost, and the next one is tried.
  const LOST = 4000;
  const found = { usable: 0, answered: 0, lost: 0, paint: 0, largest: 0, shift: 0 };
  const paints = [];
  const shifts = [];
  let pressed = 0;

  const watch = (type, to) =>
    new PerformanceObserver((list) => to.push(...list.getEntries())).observe({ type, buffered: true });
  watch("largest-contentful-paint", paints);
  watch("layout-shift", shifts);

  const possible = (element) =>
    element &&
    !element.disabled &&
    element.getAttribute("aria-disabled") !== "true" &&
    !element.closest("[inert], [aria-busy=true]") &&
    element.getClientRects().length > 0;

  const end = () => {
    // What the answer itself paints or moves does not count.
    const before = (entry) => entry.startTime < found.answered;
    found.largest = Math.max(0, ...paints.filter(before).map((entry) => entry.startTime));
    found.paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0;
    found.shift = shifts
      .filter((entry) => before(entry) && !entry.hadRecentInput)
      .reduce((sum, entry) => sum + entry.value, 0);
    console.debug("page-probe " + JSON.stringify(found));
  };

  const pressAgain = () => {
    found.lost += 1;
    pressed -= 1;
    if (pressed === 0) found.usable = 0;
  };

  const look = () => {
    const now = performance.now();
    if (pressed === steps.length && answered()) {
      found.answered = now;
      clearInterval(timer);
      // Observers deliver what was painted a little later.
      setTimeout(end, 500);
      return;
    }
    const element = steps[pressed]?.();
    if (possible(element)) {
      found.usable ||= now;
      found.last = now;
      pressed += 1;
      element.click();
    } else if (pressed && now - found.last > LOST) pressAgain();
  };
  const timer = setInterval(look, 10);
})();
