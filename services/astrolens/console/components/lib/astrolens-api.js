// The JSON API that scripts use too. Every failure becomes an ApiError with a sentence for people.

/** What a proxy puts before every path: modules are served below it as well. */
export const BASE = new URL(import.meta.url).pathname.split("/_nicegui/")[0];

/** Longest wait for an answer of the console; a slower one counts as none. */
const TIMEOUT_MS = 20_000;

export class ApiError extends Error {
  /** @param {string} message a sentence for people @param {number} status of HTTP; 0 where no answer came */
  constructor(message, status) {
    super(message);
    this.status = status;
    /** Whether trying again makes sense. */
    this.transient = status === 0 || status === 408 || status === 429 || status >= 500;
  }
}

/** @param {string} path below `/api`, with its query @param {object} [body] is posted @returns {Promise<any>} its JSON */
export async function call(path, body) {
  const posted = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  let response;
  let parsed = null;
  try {
    response = await fetch(`${BASE}/api${path}`, { ...(body && posted), signal });
    // Whatever is no JSON, such as the page of a proxy, is told by its status.
    parsed = await response.json().catch(() => null);
  } catch {
    throw new ApiError("The console does not answer. It is tried again.", 0);
  }
  if (response.status === 401) {
    const here = window.location.pathname.slice(BASE.length) + window.location.search;
    window.location.assign(`${BASE}/login?next=${encodeURIComponent(here)}`);
  }
  if (response.ok && parsed) return parsed;
  const status = response.ok ? 502 : response.status;
  throw new ApiError(parsed?.detail ?? `The console answered with status ${response.status}.`, status);
}
