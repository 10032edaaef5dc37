// What changes under the hand and belongs into the address: written in place, a moment later and all at once.

import { BASE } from "astrolens-api";

/** Browsers refuse more than some ten address changes a second; a held key or a drag makes hundreds. */
const SOON_MS = 150;

/** @type {{path: string, changes: Record<string, string>} | null} */
let soon = null;
let timer = 0;

/** The query values of the address. @returns {Record<string, string>} */
export const query = () => Object.fromEntries(new URLSearchParams(window.location.search));

/** @param {string} path @param {Record<string, string | undefined>} values empty ones are left out */
export function address(path, values = {}) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value) search.set(key, value);
  const text = search.toString();
  return `${BASE}${path}${text ? `?${text}` : ""}`;
}

/** Write what `keep` was given and was not written yet. */
export function flush() {
  clearTimeout(timer);
  const due = soon;
  soon = null;
  // A page that was left meanwhile keeps its address.
  if (!due || due.path !== window.location.pathname) return;
  const url = address(due.path.slice(BASE.length), { ...query(), ...due.changes });
  // NiceGUI goes back to the page that the entry names.
  window.history.replaceState({ ...window.history.state, page: url.slice(BASE.length) }, "", url);
}

/** Change query values of the present page; an empty one is left out. @param {Record<string, string>} changes */
export function keep(changes) {
  const path = window.location.pathname;
  soon = { path, changes: { ...(soon?.path === path ? soon.changes : {}), ...changes } };
  clearTimeout(timer);
  timer = window.setTimeout(flush, SOON_MS);
}

/** Open a page as a click on a link to it does. @param {string} url made by `address` */
export function go(url) {
  flush();
  const link = Object.assign(document.createElement("a"), { href: url });
  link.setAttribute("href", url);
  document.body.append(link);
  link.click();
  link.remove();
}
