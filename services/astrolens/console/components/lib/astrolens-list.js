// A list of images by keyset: a page at a time, and the same list again when one comes back to it.

import { get } from "astrolens-api";
import { shallowReactive } from "vue";

/** @typedef {import("astrolens-types").ImageCard} ImageCard */

const PAGE = 120;
/** The API's longest page: for those who want everything. */
const LONGEST_PAGE = 200;
/** Most images that are answered at once; more would be a filter's work, not a person's. */
export const MOST_SELECTED = 10_000;
const RETRY_MS = 3000;
/** Lists kept, so that going back shows the same list at the same place at once. */
const KEPT = 6;

/** @type {Map<string, ImageList>} */
const kept = new Map();

class ImageList {
  /** @param {string} query filters and sort, as the API takes them @param {string} at image that the address names */
  constructor(query, at) {
    this.query = query;
    this.at = at;
    /** Whether the list begins with that image, because it stands far from the start. */
    this.beginsThere = false;
    this.scroll = 0;
    /** @type {Set<string>} */
    this.known = new Set();
    this.next = "";
    /** @type {Promise<void> | null} */
    this.pending = null;
    this.state = shallowReactive({ items: /** @type {ImageCard[]} */ ([]), done: false, loading: false, problem: "" });
  }

  /** Read the next page; resolves when it is there or failed. @param {number} [limit] */
  load(limit = PAGE) {
    if (this.state.done) return Promise.resolve();
    this.pending ??= this.#read(limit).finally(() => {
      this.pending = null;
      this.state.loading = false;
    });
    return this.pending;
  }

  /** @param {number} limit */
  async #read(limit) {
    this.state.loading = true;
    try {
      let page = await this.#page(limit, this.next ? { after: this.next } : {});
      const isThere = page.items.some((/** @type {ImageCard} */ item) => item.image_id === this.at);
      if (this.at && !this.known.size && !isThere && page.next !== null) {
        page = await this.#page(limit, { start: this.at });
        this.beginsThere = true;
      }
      const fresh = page.items.filter((/** @type {ImageCard} */ item) => !this.known.has(item.image_id));
      for (const item of fresh) this.known.add(item.image_id);
      this.state.items = [...this.state.items, ...fresh];
      this.next = page.next ?? "";
      this.state.done = page.next === null;
      this.state.problem = "";
    } catch (problem) {
      const error = /** @type {import("astrolens-api").ApiError} */ (problem);
      this.state.problem = error.message;
      if (error.transient) setTimeout(() => kept.get(this.query) === this && this.load(limit), RETRY_MS);
    }
  }

  /** @param {number} limit @param {Record<string, string>} place */
  #page(limit, place) {
    const given = new URLSearchParams(this.query);
    for (const [name, value] of Object.entries({ limit: String(limit), total: "false", ...place }))
      given.set(name, value);
    return get(`/images?${given}`);
  }

  /** Read everything that matches, up to `MOST_SELECTED` images. */
  async loadAll() {
    while (!this.state.done && !this.state.problem && this.state.items.length < MOST_SELECTED) {
      await this.load(LONGEST_PAGE);
    }
  }
}

/**
 * The list of a query: as it was left, where it holds the image that the address names.
 * @param {string} query
 * @param {string} [at] that image
 */
export function recall(query, at = "") {
  let list = kept.get(query);
  if (!list || (at ? !list.known.has(at) : list.beginsThere)) list = new ImageList(query, at);
  kept.delete(query);
  kept.set(query, list);
  for (const old of [...kept.keys()].slice(0, -KEPT)) kept.delete(old);
  return list;
}

/** Read the list anew, from its start. @param {string} query */
export function renew(query) {
  kept.delete(query);
  return recall(query);
}
