// Numbers, times and sizes as people read them. Pure.

const numbers = new Intl.NumberFormat("en-US");
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const count = (number) => numbers.format(number);

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** Seconds as `850 ms`, `3.2 s`, `4 min 05 s`, `2 h 04 min`. */
export function duration(seconds) {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/** USD; small amounts keep two digits that say something. */
export function money(amount) {
  if (amount === 0) return "$0";
  return amount >= 0.01 ? `$${amount.toFixed(2)}` : `$${amount.toPrecision(2)}`;
}

/** Unix seconds as local date and time. */
export const moment = (seconds) => clock.format(new Date(seconds * 1000));

/** How long ago, roughly. */
export function ago(seconds, now = Date.now() / 1000) {
  const gone = Math.max(0, now - seconds);
  if (gone < 5) return "now";
  if (gone < 60) return `${Math.floor(gone)} s ago`;
  if (gone < 3600) return `${Math.floor(gone / 60)} min ago`;
  if (gone < 86400) return `${Math.floor(gone / 3600)} h ago`;
  return `${plural(Math.floor(gone / 86400), "day")} ago`;
}

/** `1,234 tokens · $0.02` */
export function spent(usage) {
  const tokens = plural(usage.total_tokens, "token");
  return usage.cost === null || usage.cost === undefined ? tokens : `${tokens} · ${money(usage.cost)}`;
}

/** What the question is asked over. */
export function context(summary) {
  if (summary.type === "none") return "no context";
  const size = plural(summary.characters, "character");
  if (summary.type === "documents") return `${plural(summary.documents ?? 0, "document")}, ${size}`;
  return `${summary.type === "json" ? "JSON" : "text"}, ${size}`;
}

/** The beginning of a text, on one line. */
export function line(text, length = 120) {
  const flat = text.slice(0, length * 4).replace(/\s+/g, " ").trim();
  return flat.length > length ? `${flat.slice(0, length)}…` : flat;
}
