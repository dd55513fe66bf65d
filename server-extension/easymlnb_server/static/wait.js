// @ts-check
// Reloads a waiting page; without scripts a refresh in the page's head does that.
(() => {
  const seconds = Number(document.currentScript?.dataset.again);
  setTimeout(() => location.reload(), seconds * 1000);
})();
