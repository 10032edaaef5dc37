// Decoded pictures: what is asked for before it is needed stands there in the frame after the key.

import { BASE } from "astrolens-api";

/** Decoded pictures kept: of 256 by 256 pixels, a quarter of a megabyte each. */
const KEPT = 24;

/** @typedef {{image: HTMLImageElement, state: string, settled: Promise<unknown>}} Picture `state`: loading, ready, failed */

/** @type {Map<string, Picture>} */
const pictures = new Map();

/**
 * From the console itself, where pictures come from an object store: pixels of another origin are not readable.
 * @param {string} address `cutout_url` of a card
 */
export const source = (address) => `${BASE}${address}?stream=true`;

/** Load and decode a picture; one that failed is tried again at the next call. @param {string} address `cutout_url` of a card */
export function load(address) {
  let picture = pictures.get(address);
  if (!picture || picture.state === "failed") {
    const image = Object.assign(new Image(), { src: source(address), draggable: false, alt: "" });
    /** @type {Picture} */
    const made = { image, state: "loading", settled: Promise.resolve() };
    const end = (/** @type {string} */ state) => Object.assign(made, { state });
    made.settled = image.decode().then(
      () => end("ready"),
      () => end("failed"),
    );
    picture = made;
  }
  // The last that was asked for goes last.
  pictures.delete(address);
  pictures.set(address, picture);
  for (const old of [...pictures.keys()].slice(0, -KEPT)) pictures.delete(old);
  return picture;
}
