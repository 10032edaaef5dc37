// The JSON API that scripts use too. Every failure becomes an error with a sentence for people.

/** What a proxy puts before every path: modules are served below it as well. */
export const BASE = new URL(import.meta.url).pathname.split("/_nicegui/")[0];

/** Longest wait for an answer of the console; a slower one counts as none. */
const TIMEOUT_MS = 20_000;

/** @typedef {Error & {transient: boolean}} ApiError `transient`: whether trying again makes sense */

/** @param {string} path below `/api`, with its query @param {object} [body] is posted @returns {Promise<any>} its JSON */
export async function call(path, body) {
  const posted = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(`${BASE}/api${path}`, { ...(body && posted), signal }).catch(() => null);
  // Whatever is no JSON, such as the page of a proxy, is reported by its status.
  const found = await response?.json().catch(() => null);
  if (response?.ok && found) return found;
  const status = response?.ok ? 502 : (response?.status ?? 0);
  if (status === 401) {
    const here = window.location.pathname.slice(BASE.length) + window.location.search;
    window.location.assign(`${BASE}/login?next=${encodeURIComponent(here)}`);
  }
  const message = response
    ? `The console answered with status ${status}.`
    : "The console does not answer. It is tried again.";
  const transient = [0, 401, 408, 429].includes(status) || status >= 500;
  throw Object.assign(new Error(found?.detail ?? message), { transient });
}

/** What the browser kept as JSON, else the other. @param {string | null} text @param {any} otherwise */
export function parsed(text, otherwise) {
  try {
    return JSON.parse(text ?? "") ?? otherwise;
  } catch {
    return otherwise;
  }
}
