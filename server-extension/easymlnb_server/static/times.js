// Times as people say them: relative, and exact on hover.

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function relative(time, now = Date.now()) {
  const seconds = (Date.parse(time) - now) / 1000;
  if (Number.isNaN(seconds)) return time;
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return words.format(Math.round(seconds / size), unit);
  }
  return "just now";
}

export function times(scope = document) {
  for (const element of scope.querySelectorAll("time[datetime]")) {
    element.textContent = relative(element.dateTime);
    element.title = new Date(element.dateTime).toLocaleString();
  }
}
