// How pixel values become screen values, and the view's place in the address. Pure functions.

export const STRETCHES = ["linear", "asinh", "log"];
export const PERCENTILES = [100, 99.5, 99, 97];
export const DEFAULT_VIEW = Object.freeze({ stretch: "linear", pct: 100, invert: false, zoom: 1, cx: 0.5, cy: 0.5 });

/** Softening of asinh and strength of log; the values that astronomers' viewers start with. */
const ASINH_SOFTENING = 0.1;
const LOG_STRENGTH = 1000;

/** Cumulative share of pixels at or below each of the 256 levels, by their brightest channel. */
export function percentiles(data) {
  const histogram = new Float64Array(256);
  for (let i = 0; i < data.length; i += 4) histogram[Math.max(data[i], data[i + 1], data[i + 2])] += 1;
  const total = data.length / 4;
  let sum = 0;
  return histogram.map((n) => (sum += n) / total);
}

function level(quantiles, share) {
  const index = quantiles.findIndex((value) => value >= share);
  return index < 0 ? 255 : index;
}

/** A table of 256 screen values. One table for all channels keeps the colours' order. */
export function lookup({ stretch, pct, invert }, quantiles) {
  const table = new Uint8ClampedArray(256);
  const low = pct >= 100 ? 0 : level(quantiles, 1 - pct / 100);
  const high = Math.max(low + 1, pct >= 100 ? 255 : level(quantiles, pct / 100));
  for (let value = 0; value < 256; value += 1) {
    const x = Math.min(1, Math.max(0, (value - low) / (high - low)));
    let y = x;
    if (stretch === "asinh") y = Math.asinh(x / ASINH_SOFTENING) / Math.asinh(1 / ASINH_SOFTENING);
    if (stretch === "log") y = Math.log(1 + LOG_STRENGTH * x) / Math.log(1 + LOG_STRENGTH);
    table[value] = Math.round(255 * (invert ? 1 - y : y));
  }
  return table;
}

/** The largest 1, 2 or 5 times a power of ten that is not above `wanted`; 15, 30 and whole minutes above 10″. */
export function niceArcsec(wanted) {
  const ladder = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600];
  return ladder.filter((step) => step <= wanted).at(-1) ?? ladder[0];
}

/** The view that an address names; whatever cannot be read is the default. */
export function viewOf(query) {
  const number = (text, low, high, fallback) => {
    const value = Number.parseFloat(text);
    return Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : fallback;
  };
  return {
    stretch: STRETCHES.includes(query.stretch) ? query.stretch : DEFAULT_VIEW.stretch,
    pct: PERCENTILES.includes(Number(query.pct)) ? Number(query.pct) : DEFAULT_VIEW.pct,
    invert: query.invert === "1",
    zoom: number(query.zoom, 1, 32, 1),
    cx: number(query.cx, 0, 1, 0.5),
    cy: number(query.cy, 0, 1, 0.5),
  };
}

/** What of a view belongs into the address: only what differs from the default. */
export function queryOf(view) {
  const short = (value) => Number(value.toFixed(4));
  return {
    stretch: view.stretch === DEFAULT_VIEW.stretch ? "" : view.stretch,
    pct: view.pct === DEFAULT_VIEW.pct ? "" : view.pct,
    invert: view.invert ? "1" : "",
    zoom: view.zoom === 1 ? "" : Number(view.zoom.toFixed(3)),
    cx: view.zoom === 1 ? "" : short(view.cx),
    cy: view.zoom === 1 ? "" : short(view.cy),
  };
}
