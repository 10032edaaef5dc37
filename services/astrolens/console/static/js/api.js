// The JSON API that scripts use too. Every failure becomes an ApiError with a sentence for people.

import { go, href, route } from "astrolens/js/router.js";

export class ApiError extends Error {
  /** `status` is 0 where no answer came; `transient` tells whether trying again makes sense. */
  constructor(message, status) {
    super(message);
    this.status = status;
    this.transient = status === 0 || status === 429 || status >= 500;
  }
}

export const url = (path) => `${route.base}/api${path}`;

/** An address that the API gave, below the prefix that a proxy puts before every path. */
export const local = (path) => (path.startsWith("/") ? `${route.base}${path}` : path);

/** The address of a picture whose pixels are read: from the console itself, where pictures come from an object store. */
export const readable = (picture) => `${picture}?stream=true`;

function sentence(body, status) {
  const detail = body?.detail ?? body?.message ?? body?.error;
  if (typeof detail === "string") return detail;
  if (typeof detail?.detail === "string") return detail.detail;
  if (Array.isArray(detail) && detail[0]?.msg) return `${detail[0].loc?.slice(1).join(".") ?? ""} ${detail[0].msg}`.trim();
  return `The console answered ${status}.`;
}

async function request(path, { method = "GET", body, signal } = {}) {
  let response;
  try {
    response = await fetch(url(path), {
      method,
      signal,
      credentials: "same-origin",
      headers: body === undefined ? { accept: "application/json" } : { accept: "application/json", "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The console does not answer. It is tried again.", 0);
  }
  if (response.status === 401 && route.path !== "/login") {
    go(href("/login", { next: window.location.pathname + window.location.search }), { replace: true });
  }
  const text = await response.text();
  let parsed = null;
  try {
    parsed = text ? JSON.parse(text) : null;
  } catch {
    throw new ApiError(`The console answered ${response.status} with something that is not JSON.`, response.ok ? 502 : response.status);
  }
  if (!response.ok) throw new ApiError(sentence(parsed, response.status), response.status);
  return parsed;
}

export const get = (path, query = {}, options = {}) => {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== "" && one !== null && one !== undefined) search.append(key, String(one));
    }
  }
  const text = search.toString();
  return request(text ? `${path}?${text}` : path, options);
};

export const post = (path, body = {}, options = {}) => request(path, { ...options, method: "POST", body });

/** Ids are hexadecimal; anything else is not put into a path. */
export const segment = (id) => encodeURIComponent(String(id));
