// Times, durations, sizes and counts in words. It must not know the page.

/** `count` things, with the plural that English has. */
export function counted(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/** A duration in seconds, with about two digits: 0.4 ms, 41 ms, 1.2 s, 3 min, 5 h, 2 days. */
export function duration(seconds) {
  if (seconds < 0.00095) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  if (seconds < 99.5 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 47.5 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

const UNITS = [
  ["second", 1, 60],
  ["minute", 60, 3600],
  ["hour", 3600, 86400],
  ["day", 86400, Infinity],
];

/** How long ago, in words that do not change each second: just now, 40 seconds ago, 3 minutes ago. */
export function ago(seconds) {
  if (seconds < 5) return "just now";
  const [unit, length] = UNITS.find(([, , below]) => seconds < below);
  const whole = Math.floor(seconds / length);
  return `${counted(unit === "second" ? whole - (whole % 5) : whole, unit)} ago`;
}

const YEAR_SHOWN_S = 200 * 86400; // of times so long ago

/** The time of day; with the date if that is not today. */
export function clock(unixSeconds, nowSeconds = Date.now() / 1000) {
  const date = new Date(unixSeconds * 1000);
  const today = new Date(nowSeconds * 1000).toDateString() === date.toDateString();
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  if (today) return time;
  const year = Math.abs(nowSeconds - unixSeconds) > YEAR_SHOWN_S ? "numeric" : undefined;
  return `${date.toLocaleDateString([], { day: "numeric", month: "short", year })}, ${time}`;
}

/** Bytes in words: 312 bytes, 4.2 KiB. */
export function size(bytes) {
  return bytes < 1024 ? counted(bytes, "byte") : `${(bytes / 1024).toFixed(1)} KiB`;
}

/** The start of a text that has so many bytes of UTF-8; it shows if that is not all of it. */
export function begun(start, bytes) {
  return new TextEncoder().encode(start).length < bytes ? `${start}…` : start;
}

/** The middle one of some numbers; null of none. */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted.length === 0 ? null : sorted[Math.floor(sorted.length / 2)];
}
