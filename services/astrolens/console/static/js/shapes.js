// What the API answers, as the pages use it.

import * as api from "astrolens/js/api.js";

/** A card of an image. */
export function imageOf(raw) {
  return { ...raw, predicted_class: raw.class, cutout: api.local(raw.cutout_url), arcsec: raw.scale_arcsec };
}

/** A page of images and the cursor of the next one. */
export function imagesOf(raw) {
  return { items: raw.items.map(imageOf), next: raw.next };
}

/** What the address may filter images by; anything else in it is the page's own. */
export const FILTERS = ["survey", "verdict", "class", "label", "state", "source", "batch", "since", "until", "ra_deg", "dec_deg", "radius_arcsec", "q", "simulated"];

/** Filters that take several values, with commas between them in the address. */
const SEVERAL = new Set(["survey", "verdict", "class", "label", "state", "source"]);

/** The API query of an address. */
export function imageQuery(query) {
  const wanted = Object.fromEntries(FILTERS.filter((key) => query[key]).map((key) => [key, SEVERAL.has(key) ? query[key].split(",") : query[key]]));
  // Strangeness sorts by the rank score, which only analysed images have.
  const unscored = ["ingested", "dead_lettered"].includes(query.state);
  return { ...wanted, sort: unscored ? "newest" : (query.sort ?? "strangeness") };
}

/** The strangest images that a survey model was fitted on, all in one page. */
export async function findStrangest(survey) {
  return imagesOf(await api.get(`/surveys/${api.segment(survey)}/strangest`));
}

/** One page of images. */
export async function findImages(query, options = {}) {
  return imagesOf(await api.get("/images", query, options));
}
