// Numbers and times as people read them. Pure functions, no state.

const counts = new Intl.NumberFormat("en-US");

/** 12,345; an em dash where there is no number. */
export function count(value) {
  return Number.isFinite(value) ? counts.format(value) : "–";
}

/** A number with a few significant digits and no exponent where it can be read without. */
export function figure(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(Math.max(0, digits - 1)).replace("e+", "e");
  return size >= 1000 ? counts.format(Math.round(value)) : String(Number(value.toPrecision(digits)));
}

/** What the server says of a p-value, in one line: figure, meaning, and whose ordinary images where not the survey's own. */
export function pValueLine(words) {
  return words ? [words.figure, words.meaning, words.calibration].filter(Boolean).join(", ") : "not scored yet";
}

/** 340 ms, 2.1 s, 4 min. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${Number(seconds.toPrecision(2))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** `4 min ago`, `in 12 s`; `now` is in milliseconds so that a test or a shared clock can give it. */
export function relative(iso, now = Date.now()) {
  const at = Date.parse(iso);
  if (!Number.isFinite(at)) return "never";
  const seconds = (now - at) / 1000;
  if (Math.abs(seconds) < 5) return "now";
  // Whole steps: a clock that shows `5.2 s ago` only makes the eye jump.
  const words = duration(Math.max(1, Math.round(Math.abs(seconds))));
  return seconds > 0 ? `${words} ago` : `in ${words}`;
}

/** `2026-11-22 14:03:07 UTC`. */
export function absolute(iso) {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? "" : `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** 1.4 MB. */
export function bytes(size) {
  if (!Number.isFinite(size)) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let value = size;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit ? value.toPrecision(3) : value} ${units[unit]}`;
}

/** `near_miss` as `near miss`. */
export function words(code) {
  return String(code ?? "").replaceAll("_", " ");
}
