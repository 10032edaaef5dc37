// A list of images by keyset: a page at a time, and the same list again when one comes back to it.

import { call } from "astrolens-api";
import { shallowReactive } from "vue";

/** @typedef {import("astrolens-types").ImageCard} ImageCard */

const RETRY_MS = 3000;
/** Lists kept, so that going back shows the same list at the same place at once. */
const KEPT = 6;

/** @type {Map<string, ImageList>} */
const kept = new Map();

export class ImageList {
  state = shallowReactive({ items: /** @type {ImageCard[]} */ ([]), done: false, problem: "" });
  /** Whether the list begins with the image that the address names, because it stands far from the start. */
  beginsThere = false;
  closed = false;
  scroll = 0;
  next = "";
  #pending = /** @type {Promise<void> | null} */ (null);

  /**
   * @param {string} path of the list, with filters and sort, as the API takes it
   * @param {{at?: string, page?: number, wanted?: (item: ImageCard) => boolean}} [how] `at`: image that the address names;
   *   `page`: images that are read at a time; `wanted`: leaves the others out
   */
  constructor(path, how = {}) {
    this.path = path;
    this.how = { at: "", page: 120, wanted: () => true, ...how };
  }

  /** Read the next page; resolves when it is there or failed. */
  async load() {
    if (this.state.done || this.closed) return;
    this.#pending ??= this.#read().finally(() => {
      this.#pending = null;
    });
    await this.#pending;
  }

  /** @param {string} id */
  has(id) {
    return this.state.items.some((item) => item.image_id === id);
  }

  async #read() {
    const { at, wanted } = this.how;
    try {
      let page = await this.#page(this.next ? { after: this.next } : {});
      const isFar = !page.items.some((/** @type {ImageCard} */ item) => item.image_id === at) && page.next !== null;
      if (at && isFar && !this.state.items.length) {
        page = await this.#page({ start: at });
        this.beginsThere = true;
      }
      const known = new Set(this.state.items.map((item) => item.image_id));
      const isNew = (/** @type {ImageCard} */ item) => !known.has(item.image_id) && wanted(item);
      this.state.items = [...this.state.items, ...page.items.filter(isNew)];
      this.next = page.next ?? "";
      this.state.done = page.next === null;
      this.state.problem = "";
    } catch (problem) {
      const error = /** @type {import("astrolens-api").ApiError} */ (problem);
      this.state.problem = error.message;
      if (error.transient) setTimeout(() => this.load(), RETRY_MS);
    }
  }

  /** @param {Record<string, string>} place */
  #page(place) {
    // A list without filters is one page.
    if (!this.path.includes("?")) return call(this.path);
    return call(`${this.path}&${new URLSearchParams({ limit: String(this.how.page), total: "false", ...place })}`);
  }
}

/** The list as it was left, where it holds the image that the address names. @param {string} path @param {string} [at] */
export function recall(path, at = "") {
  let list = kept.get(path);
  if (!list || (at ? !list.has(at) : list.beginsThere)) list = new ImageList(path, { at });
  kept.delete(path);
  kept.set(path, list);
  for (const [old, one] of [...kept].slice(0, -KEPT)) {
    one.closed = true;
    kept.delete(old);
  }
  return list;
}

/** Read the list anew, from its start. @param {string} path */
export function renew(path) {
  kept.delete(path);
  return recall(path);
}
