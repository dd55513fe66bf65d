// @ts-check
// Shows times relative to now, and exact times in tooltips.

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/**
 * Return a time relative to `now`, such as "3 hours ago".
 * @param {string} time - as in the `datetime` attribute
 * @param {number} [now] - in ms
 * @returns {string}
 */
export function relative(time, now = Date.now()) {
  const seconds = (Date.parse(time) - now) / 1000;
  if (Number.isNaN(seconds)) return time;
  for (const [unit, size] of UNITS) {
    // Rounded toward now: 59.6 minutes are not "60 minutes ago". What lies ahead is rounded: a key
    // made for 90 days expires in 90 days.
    if (Math.abs(seconds) >= size) return format.format(seconds < 0 ? Math.trunc(seconds / size) : Math.round(seconds / size), unit);
  }
  return "just now";
}

/** @param {ParentNode} [scope] */
export function times(scope = document) {
  /** @type {NodeListOf<HTMLTimeElement>} */
  const elements = scope.querySelectorAll("time[datetime]");
  for (const element of elements) {
    element.textContent = relative(element.dateTime);
    element.title = new Date(element.dateTime).toLocaleString();
  }
}
