// What changes under the hand and belongs into the address: written in place, a moment later and all at once.

import { BASE } from "astrolens-api";

/** Browsers refuse more than some ten address changes a second; a held key or a drag makes hundreds. */
const SOON_MS = 150;
/** NiceGUI writes the address of a page a moment after it shows the page; on a slow network later. */
const LATEST_MS = 10_000;

/** The page that is shown, as its Python code was given it. */
let here = { path: "", query: /** @type {Record<string, string>} */ ({}) };
let entered = "";
let timer = 0;
let changedAt = 0;

/** @param {string} path @param {Record<string, string | undefined>} values empty ones are left out */
export function address(path, values = {}) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value) search.set(key, value);
  const text = search.toString();
  return `${BASE}${path}${text ? `?${text}` : ""}`;
}

/**
 * A page is shown; the browser's address may still be that of the page before. Every element of it says so.
 * @param {string} page its path and query
 */
export function enter(page) {
  if (page === entered) return;
  entered = page;
  clearTimeout(timer);
  changedAt = 0;
  const url = new URL(page, window.location.origin);
  here = { path: url.pathname, query: Object.fromEntries(url.searchParams) };
}

/** The query values of the page. */
export const query = () => here.query;

/** Write what `keep` was given and was not written yet. */
export function flush() {
  clearTimeout(timer);
  if (!changedAt) return;
  if (window.location.pathname !== BASE + here.path) {
    if (performance.now() - changedAt < LATEST_MS) timer = window.setTimeout(flush, SOON_MS);
    return;
  }
  changedAt = 0;
  const url = address(here.path, here.query);
  // NiceGUI goes back to the page that the entry names.
  window.history.replaceState({ ...window.history.state, page: url.slice(BASE.length) }, "", url);
}

/** Change query values of the present page; an empty one is left out. @param {Record<string, string>} changes */
export function keep(changes) {
  here.query = { ...here.query, ...changes };
  changedAt ||= performance.now();
  clearTimeout(timer);
  timer = window.setTimeout(flush, SOON_MS);
}

/** Open a page as a click on a link to it does. @param {string} url made by `address` */
export function go(url) {
  flush();
  const link = document.createElement("a");
  link.setAttribute("href", url);
  document.body.append(link);
  link.click();
  link.remove();
}
