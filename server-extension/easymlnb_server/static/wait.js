// A waiting page asks again by itself; without scripts a refresh in the page's head does that.
(() => {
  const { again } = document.currentScript.dataset;
  setTimeout(() => location.reload(), Number(again) * 1000);
})();
