// One event stream a client, shared by everything on the page, at most two updates a second.

import { onBeforeUnmount, reactive, ref } from "vue";
import * as api from "astrolens/js/api.js";

/** Two updates a second are as much as an eye can follow; more only costs. */
const COALESCE_MS = 500;
/** A tab nobody looks at gives its connection back: browsers allow six a host. */
const HIDDEN_MS = 30_000;
const HISTORY = 120;

export const live = reactive({
  connected: false,
  since: null,
  status: null,
  problem: null,
  history: [],
});

/** Ticks every ten seconds; relative times hang on it. */
export const clock = ref(Date.now());

const listeners = new Map();
const waiting = new Map();
let source = null;
let timer = null;
let hidden = null;

function flush() {
  timer = null;
  const batch = [...waiting];
  waiting.clear();
  clock.value = Date.now();
  for (const [kind, data] of batch) {
    if (kind === "status") setStatus(data);
    for (const listener of listeners.get(kind) ?? []) listener();
  }
}

function enqueue(kind, data) {
  // Only the newest counts: a status says everything that an earlier one said.
  waiting.set(kind, data);
  timer ??= setTimeout(flush, COALESCE_MS);
}

const BOOKS = ["received", "analyzed", "duplicates", "rejected", "dead_lettered", "in_flight"];

function setStatus(raw) {
  const books = Object.fromEntries(BOOKS.map((key) => [key, raw[key]]));
  live.status = { ...raw, books, services: Object.values(raw.services), sources: Object.values(raw.sources) };
  live.problem = null;
  live.history.push({ at: Date.now(), analyzed: books.analyzed, inFlight: books.in_flight });
  if (live.history.length > HISTORY) live.history.splice(0, live.history.length - HISTORY);
}

export async function refreshStatus() {
  try {
    setStatus(await api.get("/status"));
  } catch (error) {
    live.problem = error.message;
  }
}

/** Call `listener` after a `status` or a `reconnect`, at most twice a second, while a component lives. */
export function onLive(kind, listener) {
  const set = listeners.get(kind) ?? new Set();
  listeners.set(kind, set.add(listener));
  onBeforeUnmount(() => set.delete(listener));
}

function open() {
  if (source) return;
  source = new EventSource(api.url("/stream"));
  source.onopen = () => {
    const again = live.since !== null && !live.connected;
    live.connected = true;
    live.since = Date.now();
    if (again) {
      refreshStatus();
      for (const listener of listeners.get("reconnect") ?? []) listener();
    }
  };
  source.onerror = () => {
    live.connected = false;
    // The browser gives up for good when an answer was no stream (a restart behind a proxy, a lost session).
    if (source?.readyState === EventSource.CLOSED) {
      close();
      setTimeout(() => document.visibilityState === "visible" && open(), 3000);
    }
  };
  source.addEventListener("status", (event) => {
    try {
      enqueue("status", JSON.parse(event.data));
    } catch (error) {
      console.warn("astrolens: unreadable status", error);
    }
  });
}

function close() {
  source?.close();
  source = null;
  live.connected = false;
}

export function start() {
  refreshStatus();
  open();
  setInterval(() => {
    clock.value = Date.now();
  }, 10_000);
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.visibilityState === "hidden") hidden = setTimeout(close, HIDDEN_MS);
    else open();
  });
  window.addEventListener("online", open);
}
