// The address is the state: one reactive route, read from and written to the location.

import { reactive } from "vue";

export const route = reactive({ base: "", path: "/", query: {}, entry: 0 });

/** Browsers refuse more than some ten address changes a second; a held key or a drag makes hundreds. */
const SOON_MS = 150;
let soon = null;
let soonTimer = null;

function read() {
  const { pathname, search } = window.location;
  const path = pathname.startsWith(route.base) ? pathname.slice(route.base.length) : pathname;
  route.path = path.replace(/\/+$/, "") || "/";
  route.query = Object.fromEntries(new URLSearchParams(search));
}

/** Start following the location. `base` is the prefix a proxy puts before every path. */
export function start(base, elsewhere) {
  route.base = base;
  for (const path of elsewhere) documents.add(base + path);
  // We restore the scroll position ourselves once a virtual list has its height again.
  window.history.scrollRestoration = "manual";
  const known = window.history.state?.entry;
  route.entry = known ?? Date.now();
  if (known === undefined) window.history.replaceState({ entry: route.entry }, "");
  read();
  window.addEventListener("popstate", () => {
    clearTimeout(soonTimer);
    soon = null;
    remember();
    route.entry = window.history.state?.entry ?? 0;
    read();
  });
  window.addEventListener("scroll", () => remember(), { passive: true });
}

const scrolls = new Map();
/** Paths that are documents of their own. */
const documents = new Set();

function remember() {
  scrolls.set(route.entry, window.scrollY);
}

/** Where this history entry was scrolled to when it was left. */
export function rememberedScroll() {
  return scrolls.get(route.entry) ?? 0;
}

/** An address of ours; empty query values are left out, so that equal views have equal addresses. */
export function href(path, query = {}) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") search.set(key, String(value));
  }
  const text = search.toString();
  return `${route.base}${path}${text ? `?${text}` : ""}`;
}

/** Go to an address made by `href`. */
export function go(url, { replace = false } = {}) {
  flush();
  const current = window.location.pathname + window.location.search;
  if (url === current) return;
  const path = url.split("?")[0];
  if (documents.has(path) || path.startsWith(`${route.base}/image/`)) {
    window.location.assign(url);
    return;
  }
  if (replace) {
    window.history.replaceState({ entry: route.entry }, "", url);
    read();
    return;
  }
  scrolls.set(route.entry, window.scrollY);
  route.entry = Date.now() + Math.random();
  window.history.pushState({ entry: route.entry }, "", url);
  const before = route.path;
  read();
  if (route.path !== before) window.scrollTo(0, 0);
}

/** Change some query values of the present page. */
export function setQuery(changes, { replace = false } = {}) {
  flush();
  go(href(route.path, { ...route.query, ...changes }), { replace });
}

/** Change query values in place, a moment later and all at once: for what changes under the hand. */
export function setQuerySoon(changes) {
  soon = { path: route.path, changes: { ...(soon?.path === route.path ? soon.changes : {}), ...changes } };
  clearTimeout(soonTimer);
  soonTimer = setTimeout(flush, SOON_MS);
}

function flush() {
  const due = soon;
  soon = null;
  clearTimeout(soonTimer);
  if (due?.path === route.path) setQuery(due.changes, { replace: true });
}

/** A click handler for our own links: plain clicks stay in the page, everything else is the browser's. */
export function follow(event) {
  if (event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest?.("a[href]");
  if (!link || link.target || link.hasAttribute("download") || link.origin !== window.location.origin) return;
  if (!link.hasAttribute("data-app")) return;
  event.preventDefault();
  go(link.pathname + link.search);
}
