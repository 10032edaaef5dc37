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
/** @type {View & Record<string, unknown>} */
const DEFAULT = { stretch: "linear", pct: 100, invert: false, map: false, zoom: 1, cx: 0.5, cy: 0.5 };
export const MAX_ZOOM = 32;

/** Softening of asinh and strength of log; the values that astronomers' viewers start with. */
const ASINH_SOFTENING = 0.1;
const LOG_STRENGTH = 1000;

/** @type {View} */
export const view = reactive({ ...DEFAULT });

/** @param {number} value @param {number} low @param {number} high */
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** @param {Partial<View>} values; without zoom the picture is in the middle */
export function update(values) {
  Object.assign(view, values);
  view.zoom = clamp(view.zoom, 1, MAX_ZOOM);
  if (view.zoom === 1) Object.assign(view, { cx: 0.5, cy: 0.5 });
  const written = (/** @type {unknown} */ value) =>
    String(typeof value === "number" ? Number(value.toFixed(4)) : value === true ? 1 : value);
  const changed = Object.entries(view).map(([name, value]) => [name, value === DEFAULT[name] ? "" : written(value)]);
  keep(Object.fromEntries(changed));
}

/** The view that the address names; whatever cannot be read is the default. */
export function readView() {
  const given = query();
  /** @param {string} name @param {number} low @param {number} high @param {number} fallback */
  const number = (name, low, high, fallback) => {
    const value = Number.parseFloat(given[name]);
    return Number.isFinite(value) ? clamp(value, low, high) : fallback;
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

/** Each image is first shown as it came. */
export const reset = () => update(DEFAULT);

/** @template T @param {T[]} list @param {T} now */
const after = (list, now) => list[(list.indexOf(now) + 1) % list.length];

/** @type {import("astrolens-keys").Binding[]} */
export const viewKeys = [
  ["z", "Zoom: 1, 2, 4, 8 times", () => update({ zoom: [2, 4, 8].find((zoom) => zoom > view.zoom) ?? 1 })],
  ["s", "Stretch: linear, asinh, log", () => update({ stretch: after(STRETCHES, view.stretch) })],
  ["p", "Clip at the next percentile", () => update({ pct: after(PERCENTILES, view.pct) })],
  ["i", "Invert", () => update({ invert: !view.invert })],
  ["0", "The picture as it came", reset],
];

/**
 * The two levels, 0 to 1, between which a picture is shown, by its brightest channel.
 * @param {HTMLImageElement} image @param {number} pct
 */
function levels(image, pct) {
  if (pct >= 100) return [0, 1];
  const { naturalWidth: width, naturalHeight: height } = image;
  const context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
  context?.drawImage(image, 0, 0);
  const data = context?.getImageData(0, 0, width, height).data ?? [];
  const brightest = Uint8Array.from({ length: data.length / 4 }, (_, at) =>
    Math.max(data[4 * at], data[4 * at + 1], data[4 * at + 2]),
  ).sort();
  const [low, high] = [1 - pct / 100, pct / 100].map(
    (share) => brightest[Math.floor(share * (brightest.length - 1))] / 255,
  );
  return [low, Math.max(low + 1 / 255, high)];
}

/**
 * 256 screen values, 0 to 1, as SVG's `tableValues`. One table for all channels keeps the colours' order.
 * @param {View} wanted @param {HTMLImageElement} image
 */
export function transfer({ stretch, pct, invert }, image) {
  const [low, high] = levels(image, pct);
  const curves = /** @type {Record<string, (x: number) => number>} */ ({
    linear: (x) => x,
    asinh: (x) => Math.asinh(x / ASINH_SOFTENING) / Math.asinh(1 / ASINH_SOFTENING),
    log: (x) => Math.log(1 + LOG_STRENGTH * x) / Math.log(1 + LOG_STRENGTH),
  });
  const values = Array.from({ length: 256 }, (_, level) => {
    const y = curves[stretch](clamp((level / 255 - low) / (high - low), 0, 1));
    return (invert ? 1 - y : y).toFixed(4);
  });
  return values.join(" ");
}

/** The longest round bar of at most `wanted` arcseconds: 1, 2 or 5, and 15″, 30″ and whole minutes. @param {number} wanted */
export function niceArcsec(wanted) {
  const ladder = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600];
  return ladder.findLast((step) => step <= wanted) ?? ladder[0];
}
