// @ts-check
// Reloads a waiting page; without scripts a refresh in the page's head does that.
(() => {
  const seconds = Number(document.currentScript?.dataset.again);
  const wait = () => setTimeout(again, seconds * 1000);
  async function again() {
    try {
      // While the server restarts, a reload would end at the browser's error page.
      const response = await fetch(location.href, { method: "HEAD", redirect: "manual" });
      if (response.status < 500) {
        location.reload();
        return;
      }
    } catch {
      // It is not there yet.
    }
    wait();
  }
  wait();
})();
