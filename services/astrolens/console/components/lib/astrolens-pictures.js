// Decoded pictures: what is asked for before it is needed stands there in the frame after the key.

import { readable } from "astrolens-api";

/** @typedef {{canvas: HTMLCanvasElement, pixels: ImageData, quantiles: Float64Array}} Picture */

/** Decoded pictures kept: of 256 by 256 pixels, half a megabyte each. */
const KEPT = 24;

/** @type {Map<string, {loading: Promise<Picture>, picture: Picture | null}>} */
const pictures = new Map();

/**
 * Cumulative share of pixels at or below each of the 256 levels, by their brightest channel.
 * @param {Uint8ClampedArray} data RGBA
 */
export function percentiles(data) {
  const histogram = new Float64Array(256);
  for (let i = 0; i < data.length; i += 4) histogram[Math.max(data[i], data[i + 1], data[i + 2])] += 1;
  const total = data.length / 4;
  let sum = 0;
  return histogram.map((n) => {
    sum += n;
    return sum / total;
  });
}

/** @param {string} address @returns {Promise<Picture>} */
async function decode(address) {
  const image = new Image();
  image.src = readable(address);
  await image.decode();
  const size = { width: image.naturalWidth, height: image.naturalHeight };
  const canvas = Object.assign(document.createElement("canvas"), size);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, size.width, size.height);
  return { canvas, pixels, quantiles: percentiles(pixels.data) };
}

/** The picture where it is decoded. @param {string} address */
export const decoded = (address) => pictures.get(address)?.picture ?? null;

/** Decode a picture; one that failed is tried again at the next call. @param {string} address `cutout_url` of a card */
export function load(address) {
  let entry = pictures.get(address);
  if (!entry) {
    const made = { loading: decode(address), picture: /** @type {Picture | null} */ (null) };
    made.loading.then(
      (picture) => {
        made.picture = picture;
      },
      () => pictures.get(address) === made && pictures.delete(address),
    );
    entry = made;
  }
  // The last that was asked for goes last.
  pictures.delete(address);
  pictures.set(address, entry);
  for (const old of [...pictures.keys()].slice(0, -KEPT)) pictures.delete(old);
  return entry.loading;
}
