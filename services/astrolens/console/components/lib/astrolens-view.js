// How pictures are shown: one view for all pictures of a page, kept in the address.

import { keep, query } from "astrolens-address";
import { reactive } from "vue";

/**
 * `cx`, `cy`: the point of the picture in the middle, 0 to 1; `pct`: percentile at which it is clipped.
 * `map`: whether the map of strange patches lies over the picture.
 * @typedef {{stretch: string, pct: number, invert: boolean, map: boolean, zoom: number, cx: number, cy: number}} View
 */

const STRETCHES = ["linear", "asinh", "log"];
const PERCENTILES = [100, 99.5, 99, 97];
const DEFAULT = Object.freeze({ stretch: "linear", pct: 100, invert: false, map: false, zoom: 1, cx: 0.5, cy: 0.5 });
export const MAX_ZOOM = 32;

/** Softening of asinh and strength of log; the values that astronomers' viewers start with. */
const ASINH_SOFTENING = 0.1;
const LOG_STRENGTH = 1000;

/** @type {View} */
export const view = reactive({ ...DEFAULT });

/** @param {Partial<View>} values */
export function update(values) {
  Object.assign(view, values);
  const zoomed = view.zoom !== 1;
  keep({
    stretch: view.stretch === DEFAULT.stretch ? "" : view.stretch,
    pct: view.pct === DEFAULT.pct ? "" : String(view.pct),
    invert: view.invert ? "1" : "",
    map: view.map ? "1" : "",
    zoom: zoomed ? String(Number(view.zoom.toFixed(3))) : "",
    cx: zoomed ? String(Number(view.cx.toFixed(4))) : "",
    cy: zoomed ? String(Number(view.cy.toFixed(4))) : "",
  });
}

/** The view that the address names; whatever cannot be read is the default. */
export function readView() {
  const given = query();
  /** @param {string} name @param {number} low @param {number} high @param {number} fallback */
  const number = (name, low, high, fallback) => {
    const value = Number.parseFloat(given[name]);
    return Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : fallback;
  };
  Object.assign(view, {
    stretch: STRETCHES.includes(given.stretch) ? given.stretch : DEFAULT.stretch,
    pct: PERCENTILES.includes(Number(given.pct)) ? Number(given.pct) : DEFAULT.pct,
    invert: given.invert === "1",
    map: given.map === "1",
    zoom: number("zoom", 1, MAX_ZOOM, 1),
    cx: number("cx", 0, 1, 0.5),
    cy: number("cy", 0, 1, 0.5),
  });
}

export const reset = () => update(DEFAULT);

/** @template T @param {T[]} list @param {T} now */
const after = (list, now) => list[(list.indexOf(now) + 1) % list.length];

/** @type {(import("astrolens-keys").Binding & {run: () => void})[]} */
export const viewKeys = [
  {
    keys: ["z"],
    label: "Zoom: 1, 2, 4, 8 times",
    run: () => update(view.zoom >= 8 ? { zoom: 1, cx: 0.5, cy: 0.5 } : { zoom: [2, 4, 8].find((z) => z > view.zoom) }),
  },
  {
    keys: ["s"],
    label: "Stretch: linear, asinh, log",
    run: () => update({ stretch: after(STRETCHES, view.stretch) }),
  },
  { keys: ["p"], label: "Clip at the next percentile", run: () => update({ pct: after(PERCENTILES, view.pct) }) },
  { keys: ["i"], label: "Invert", run: () => update({ invert: !view.invert }) },
  { keys: ["0"], label: "The picture as it came", run: reset },
];

/**
 * A table of 256 screen values. One table for all channels keeps the colours' order.
 * @param {View} wanted
 * @param {Float64Array} quantiles share of pixels at or below each level
 */
export function lookup({ stretch, pct, invert }, quantiles) {
  /** @param {number} share */
  const level = (share) => {
    const index = quantiles.findIndex((value) => value >= share);
    return index < 0 ? 255 : index;
  };
  const table = new Uint8ClampedArray(256);
  const low = pct >= 100 ? 0 : level(1 - pct / 100);
  const high = Math.max(low + 1, pct >= 100 ? 255 : level(pct / 100));
  for (let value = 0; value < 256; value += 1) {
    const x = Math.min(1, Math.max(0, (value - low) / (high - low)));
    let y = x;
    if (stretch === "asinh") y = Math.asinh(x / ASINH_SOFTENING) / Math.asinh(1 / ASINH_SOFTENING);
    if (stretch === "log") y = Math.log(1 + LOG_STRENGTH * x) / Math.log(1 + LOG_STRENGTH);
    table[value] = Math.round(255 * (invert ? 1 - y : y));
  }
  return table;
}

/** The longest round bar of at most `wanted` arcseconds: 1, 2 or 5, and 15″, 30″ and whole minutes. @param {number} wanted */
export function niceArcsec(wanted) {
  const ladder = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600];
  return ladder.filter((step) => step <= wanted).at(-1) ?? ladder[0];
}
