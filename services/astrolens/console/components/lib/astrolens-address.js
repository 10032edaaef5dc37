// What changes under the hand and belongs into the address: written in place, a moment later and all at once.

import { BASE } from "astrolens-api";

/** Browsers refuse more than some ten address changes a second; a held key or a drag makes hundreds. */
const SOON_MS = 150;
/** NiceGUI writes the address of a page a moment after it shows the page; on a slow network later. */
const LATEST_MS = 10_000;

/** The page that is shown, as its Python code was given it. */
let here = { page: "", path: "", query: /** @type {Record<string, string>} */ ({}) };
let timer = 0;
let changedAt = 0;

/** @param {string} path @param {Record<string, string | undefined>} values empty ones are left out */
export function address(path, values) {
  const filled = Object.entries(values).map(([name, value]) => [name, value ?? ""]);
  const search = new URLSearchParams(filled.filter(([, value]) => value)).toString();
  return BASE + path + (search && `?${search}`);
}

/** The page of an image, which goes on through a list. @param {string} id @param {string} list as addresses name it */
export const imageAddress = (id, list) => `${BASE}/image/${id}${list && "?"}${list}`;

/**
 * A page is shown; the browser's address may still be that of the page before. Every element of it says so.
 * @param {string} page its path and query
 */
export function enter(page) {
  if (page === here.page) return;
  clearTimeout(timer);
  changedAt = 0;
  const url = new URL(page, window.location.origin);
  here = { page, path: url.pathname, query: Object.fromEntries(url.searchParams) };
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

/** Open a page as a click on a link to it does. @param {string} href made by `address` */
export function go(href) {
  const link = Object.assign(document.createElement("a"), { hidden: true });
  link.setAttribute("href", href);
  document.body.append(link);
  link.click();
  link.remove();
}

// Before NiceGUI opens the next page, the address of this one must say where it was left.
document.addEventListener("click", flush, true);
