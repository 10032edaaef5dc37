// A list of images by keyset: a page at a time, and the same list again when one comes back to it.

import { call } from "astrolens-api";
import { shallowReactive } from "vue";

/** @typedef {import("astrolens-types").ImageCard} ImageCard */
/** @typedef {import("astrolens-api").ApiError} ApiError */

const RETRY_MS = 3000;
/** Lists kept, so that going back shows the same list at the same place at once. */
const KEPT = 6;

/** @type {Map<string, ImageList>} */
const kept = new Map();

export class ImageList {
  /**
   * @param {string} path of the list, with filters and sort, as the API takes it
   * @param {{at?: string, page?: number, wanted?: (item: ImageCard) => boolean}} [how] `at`: image that the address names;
   *   `page`: images that are read at a time; `wanted`: leaves the others out
   */
  constructor(path, { at = "", page = 120, wanted = () => true } = {}) {
    this.path = path;
    this.at = at;
    this.size = page;
    this.wanted = wanted;
    /** Whether the list begins with that image, because it stands far from the start. */
    this.beginsThere = false;
    this.closed = false;
    this.scroll = 0;
    /** @type {Set<string>} */
    this.known = new Set();
    this.next = "";
    /** @type {Promise<void> | null} */
    this.pending = null;
    this.state = shallowReactive({ items: /** @type {ImageCard[]} */ ([]), done: false, loading: false, problem: "" });
  }

  /** Read the next page; resolves when it is there or failed. */
  load() {
    if (this.state.done || this.closed) return Promise.resolve();
    this.pending ??= this.#read().finally(() => {
      this.pending = null;
      this.state.loading = false;
    });
    return this.pending;
  }

  async #read() {
    this.state.loading = true;
    try {
      let page = await this.#page(this.next ? { after: this.next } : {});
      const isThere = page.items.some((/** @type {ImageCard} */ item) => item.image_id === this.at);
      if (this.at && !this.known.size && !isThere && page.next !== null) {
        page = await this.#page({ start: this.at });
        this.beginsThere = true;
      }
      const fresh = page.items.filter(
        (/** @type {ImageCard} */ item) => !this.known.has(item.image_id) && this.wanted(item),
      );
      for (const item of fresh) this.known.add(item.image_id);
      this.state.items = [...this.state.items, ...fresh];
      this.next = page.next ?? "";
      this.state.done = page.next === null;
      this.state.problem = "";
    } catch (problem) {
      const error = /** @type {ApiError} */ (problem);
      this.state.problem = error.message;
      if (error.transient) setTimeout(() => this.load(), RETRY_MS);
    }
  }

  /** @param {Record<string, string>} place */
  #page(place) {
    // A list without filters is one page.
    if (!this.path.includes("?")) return call(this.path);
    return call(`${this.path}&${new URLSearchParams({ limit: String(this.size), total: "false", ...place })}`);
  }
}

/** The list as it was left, where it holds the image that the address names. @param {string} path @param {string} [at] */
export function recall(path, at = "") {
  let list = kept.get(path);
  if (!list || (at ? !list.known.has(at) : list.beginsThere)) list = new ImageList(path, { at });
  kept.delete(path);
  kept.set(path, list);
  for (const [old, one] of [...kept].slice(0, -KEPT)) {
    one.closed = true;
    kept.delete(old);
  }
  list.closed = false;
  return list;
}

/** Read the list anew, from its start. @param {string} path */
export function renew(path) {
  kept.delete(path);
  return recall(path);
}
