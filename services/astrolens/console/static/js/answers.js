// People's answers: shown at once, kept in the browser until the console has stored them, undone in many steps.

import { reactive } from "vue";
import * as api from "astrolens/js/api.js";

export const ANSWERS = [
  { value: "interesting", key: "1", word: "interesting" },
  { value: "artefact", key: "2", word: "artefact" },
  { value: "ordinary", key: "3", word: "ordinary" },
];

const PREFIX = "astrolens.answer.";
const UNDO = "astrolens.undo";
/** More steps than anyone goes back in one night's list. */
const MAX_UNDO = 500;
/** The API takes at most this many images in one answer. */
const BATCH = 500;
const RETRY_MS = [1000, 2000, 5000, 10_000, 20_000];

export const answers = reactive({
  shown: {}, // image_id -> answer or null, over what the API said
  unsent: 0,
  given: 0,
  problem: null,
  undoable: 0,
});

let queue = [];
let undo = [];
let sending = false;
let failures = 0;
let timer = null;
let sequence = 0;

const uuid = () =>
  window.crypto.randomUUID?.() ??
  [...window.crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function tell() {
  answers.unsent = queue.reduce((sum, entry) => sum + entry.image_ids.length, 0);
}

function store(entry) {
  try {
    localStorage.setItem(PREFIX + entry.request_id, JSON.stringify(entry));
  } catch {
    answers.problem = "This browser keeps nothing: an answer is lost if the page closes before it is sent.";
  }
}

function forget(entry) {
  queue = queue.filter((other) => other !== entry);
  localStorage.removeItem(PREFIX + entry.request_id);
  tell();
}

function saveUndo() {
  answers.undoable = undo.length;
  try {
    sessionStorage.setItem(UNDO, JSON.stringify(undo));
  } catch {
    answers.problem = "This browser keeps nothing: undo reaches back to the last reload only.";
  }
}

/** The answer to show for an image: ours, where it was given here, else what the API said. */
export function answerOf(item) {
  return item.image_id in answers.shown ? answers.shown[item.image_id] : (item.label ?? null);
}

function enqueue(imageIds, answer) {
  for (let at = 0; at < imageIds.length; at += BATCH) {
    sequence += 1;
    const entry = { request_id: uuid(), image_ids: imageIds.slice(at, at + BATCH), answer, at: Date.now(), sequence };
    queue.push(entry);
    store(entry);
  }
  tell();
}

/** Answer for one or many images: shown in this very frame, sent after. */
export function give(items, answer) {
  const step = items.map((item) => ({ image_id: item.image_id, name: item.name ?? null, before: answerOf(item), answer }));
  for (const one of step) answers.shown[one.image_id] = answer;
  enqueue(step.map((one) => one.image_id), answer);
  undo.push(step);
  if (undo.length > MAX_UNDO) undo.shift();
  answers.given += items.length;
  saveUndo();
  send();
  return step;
}

/** Take the last step back; returns it, or null where there is none. */
export function undoLast() {
  const step = undo.pop();
  if (!step) return null;
  const before = groupBy(step);
  for (const [answer, group] of before) {
    for (const one of group) answers.shown[one.image_id] = answer;
    enqueue(group.map((one) => one.image_id), answer);
  }
  answers.given = Math.max(0, answers.given - step.length);
  saveUndo();
  send();
  return step;
}

function groupBy(step) {
  const groups = new Map();
  for (const one of step) groups.set(one.before, [...(groups.get(one.before) ?? []), one]);
  return groups;
}

async function send() {
  if (sending) return;
  sending = true;
  clearTimeout(timer);
  try {
    while (queue.length) {
      const entry = queue[0];
      await deliver(entry);
      failures = 0;
      answers.problem = null;
    }
  } catch (error) {
    const wait = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
    failures += 1;
    answers.problem = `${answers.unsent} answer${answers.unsent === 1 ? "" : "s"} kept here until the console is back. ${error.message}`;
    timer = setTimeout(send, wait);
  } finally {
    sending = false;
  }
}

async function deliver(entry) {
  const { request_id, image_ids, answer } = entry;
  try {
    await api.post("/labels", { request_id, image_ids, answer });
  } catch (error) {
    if (error.transient || error.status === 401) throw error;
    forget(entry);
    if (image_ids.length > 1) {
      // One image of a batch is gone and nothing was recorded: the others still get their answer.
      for (const id of image_ids) enqueue([id], answer);
      return;
    }
    // Refused for good (the image is gone, no right to answer): say so, and show what is stored.
    delete answers.shown[image_ids[0]];
    window.dispatchEvent(new CustomEvent("astrolens:toast", { detail: { text: `Answer not stored. ${error.message}`, trouble: true } }));
    return;
  }
  forget(entry);
}

/**
 * Pick up what an earlier page could not send, and send again whenever the connection may be back.
 * Another tab may send the same answer at the same time: its id makes the second one harmless.
 */
export function start() {
  try {
    undo = JSON.parse(sessionStorage.getItem(UNDO) ?? "[]");
  } catch {
    undo = [];
  }
  answers.undoable = undo.length;
  answers.given = undo.reduce((sum, step) => sum + step.length, 0);
  const kept = [];
  for (const key of Object.keys(localStorage)) {
    if (!key.startsWith(PREFIX)) continue;
    try {
      kept.push(JSON.parse(localStorage.getItem(key)));
    } catch {
      localStorage.removeItem(key);
    }
  }
  kept.sort((a, b) => a.at - b.at || a.sequence - b.sequence);
  for (const entry of kept) for (const id of entry.image_ids) answers.shown[id] = entry.answer;
  queue = kept;
  tell();
  send();
  window.addEventListener("online", send);
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && send());
}
