// The JSON API that scripts use too. Every failure becomes an ApiError with a sentence for people.

/** What a proxy puts before every path: modules are served below it as well. */
export const BASE = new URL(import.meta.url).pathname.split("/_nicegui/")[0];

/** Longest wait for an answer of the console; a slower one counts as none. */
const TIMEOUT_MS = 20_000;

export class ApiError extends Error {
  /**
   * @param {string} message a sentence for people
   * @param {number} status of HTTP; 0 where no answer came
   */
  constructor(message, status) {
    super(message);
    this.status = status;
    /** Whether trying again makes sense. */
    this.transient = status === 0 || status === 408 || status === 429 || status >= 500;
  }
}

/**
 * The address of a picture whose pixels are read: from the console itself, where pictures come from an object store.
 * @param {string} picture `cutout_url` of a card
 */
export const readable = (picture) => `${BASE}${picture}?stream=true`;

/**
 * @param {any} body a problem document, or whatever a proxy sent
 * @param {number} status
 * @returns {string}
 */
const sentence = (body, status) =>
  typeof body?.detail === "string" ? body.detail : `The console answered with status ${status}.`;

/**
 * @param {string} path below `/api`
 * @param {RequestInit} options
 * @returns {Promise<any>} the answer's JSON
 */
async function request(path, options) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  let response;
  let body;
  try {
    response = await fetch(`${BASE}/api${path}`, { ...options, signal, credentials: "same-origin" });
    body = await response.text();
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError("The console does not answer. It is tried again.", 0);
  }
  let parsed = null;
  try {
    parsed = body ? JSON.parse(body) : null;
  } catch {
    const status = response.ok ? 502 : response.status;
    throw new ApiError(`The console answered ${response.status} with something that is not JSON.`, status);
  }
  if (response.status === 401) {
    const here = window.location.pathname.slice(BASE.length) + window.location.search;
    window.location.assign(`${BASE}/login?next=${encodeURIComponent(here)}`);
  }
  if (!response.ok) throw new ApiError(sentence(parsed, response.status), response.status);
  return parsed;
}

/**
 * @param {string} path below `/api`, with its query
 * @param {{signal?: AbortSignal}} [options]
 */
export const get = (path, options = {}) => request(path, { ...options, headers: { accept: "application/json" } });

/**
 * @param {string} path below `/api`
 * @param {object} body
 */
export const post = (path, body) =>
  request(path, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json" },
    body: JSON.stringify(body),
  });
