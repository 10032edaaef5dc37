// People's answers: shown at once, kept in the browser until the console has stored them, undone in many steps.

import { post } from "astrolens-api";
import { reactive } from "vue";

/** @typedef {import("astrolens-types").Answer} Answer */
/** @typedef {import("astrolens-types").ImageCard} ImageCard */
/** @typedef {{request_id: string, image_ids: string[], answer: Answer | null, at: number, sequence: number}} Entry */
/** @typedef {{image_id: string, name: string | null, before: Answer | null}[]} Step */
/** @typedef {{label: Answer | null, answers: Record<string, Answer>}} Said */

/** @type {{value: Answer, key: string}[]} */
export const ANSWERS = [
  { value: "interesting", key: "1" },
  { value: "artefact", key: "2" },
  { value: "ordinary", key: "3" },
];

const PREFIX = "astrolens.answer.";
const UNDO = "astrolens.undo";
/** More steps than anyone goes back in one night's list. */
const MAX_UNDO = 500;
/** The API takes at most this many images in one answer. */
const BATCH = 500;
const RETRY_MS = [1000, 2000, 5000, 10_000, 20_000];

/**
 * `given`: mine, of this page, by image; `said`: what the console told since the list was read.
 * @type {{given: Record<string, Answer | null>, said: Record<string, Said>, user: string, unsent: number,
 *   count: number, undoable: number, problem: string}}
 */
export const answers = reactive({ given: {}, said: {}, user: "", unsent: 0, count: 0, undoable: 0, problem: "" });

/** @type {Entry[]} */
let queue = [];
/** @type {Step[]} */
let undo = [];
let sending = false;
let failures = 0;
let timer = 0;
let sequence = 0;

/** @param {string} text @param {boolean} [trouble] */
export function toast(text, trouble = false) {
  // Below the header: the buttons that it tells of are at the foot.
  const classes = trouble ? "notice trouble" : "notice";
  window.Quasar.Notify.create({
    message: text,
    position: "top",
    classes,
    timeout: trouble ? 6000 : 3000,
    group: false,
  });
}

/** @param {ImageCard} item */
const saidOf = (item) => answers.said[item.image_id] ?? { label: item.label, answers: item.answers };

/** My own answer. @param {ImageCard} item @returns {Answer | null} */
export function mineOf(item) {
  return item.image_id in answers.given ? answers.given[item.image_id] : (saidOf(item).answers[answers.user] ?? null);
}

/** Everybody's answers, by person. @param {ImageCard} item @returns {Record<string, Answer>} */
export function everybody(item) {
  const { [answers.user]: _, ...others } = saidOf(item).answers;
  const mine = mineOf(item);
  return mine ? { ...others, [answers.user]: mine } : others;
}

/** The answer to show: mine, else the last of the others that stands. @param {ImageCard} item @returns {Answer | null} */
export function answerOf(item) {
  const all = Object.values(everybody(item));
  return mineOf(item) ?? (all.length ? (all.find((one) => one === saidOf(item).label) ?? all[0]) : null);
}

/** Whether people disagree. @param {ImageCard} item */
export const disputed = (item) => new Set(Object.values(everybody(item))).size > 1;

/** What to call an image: its name, else the first part of its id. @param {{name: string | null, image_id: string}} item */
export const nameOf = (item) => item.name || item.image_id.slice(0, 12);

const tell = () => {
  answers.unsent = queue.reduce((sum, entry) => sum + entry.image_ids.length, 0);
};

const uuid = () =>
  window.crypto.randomUUID?.() ??
  [...window.crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {Entry} entry */
function store(entry) {
  try {
    localStorage.setItem(PREFIX + entry.request_id, JSON.stringify(entry));
  } catch {
    answers.problem = "This browser keeps nothing: an answer is lost if the page closes before it is sent.";
  }
}

/** @param {Entry} entry */
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

/** @param {string[]} ids @param {Answer | null} answer */
function enqueue(ids, answer) {
  for (const id of ids) answers.given[id] = answer;
  for (let at = 0; at < ids.length; at += BATCH) {
    sequence += 1;
    const entry = { request_id: uuid(), image_ids: ids.slice(at, at + BATCH), answer, at: Date.now(), sequence };
    queue.push(entry);
    store(entry);
  }
  tell();
}

/** Answer for one or many images: shown in this very frame, sent after. @param {ImageCard[]} items @param {Answer} answer */
export function give(items, answer) {
  undo.push(items.map((item) => ({ image_id: item.image_id, name: item.name, before: mineOf(item) })));
  if (undo.length > MAX_UNDO) undo.shift();
  enqueue(
    items.map((item) => item.image_id),
    answer,
  );
  answers.count += items.length;
  saveUndo();
  send();
}

/** Take the last step back and say so; null where there is none. */
export function undoLast() {
  const step = undo.pop();
  if (!step) {
    toast("Nothing to undo.");
    return null;
  }
  const befores = new Set(step.map((one) => one.before));
  for (const before of befores) {
    enqueue(
      step.filter((one) => one.before === before).map((one) => one.image_id),
      before,
    );
  }
  answers.count = Math.max(0, answers.count - step.length);
  saveUndo();
  send();
  const [first] = step;
  const one = `${nameOf(first)} is ${first.before ?? "unanswered"} again`;
  toast(`Undone: ${step.length === 1 ? one : `${step.length} images`}.`);
  return step;
}

async function send() {
  if (sending) return;
  sending = true;
  clearTimeout(timer);
  try {
    while (queue.length) {
      await deliver(queue[0]);
      failures = 0;
      answers.problem = "";
    }
  } catch (error) {
    const wait = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
    failures += 1;
    const many = answers.unsent === 1 ? "1 answer is" : `${answers.unsent} answers are`;
    answers.problem = `${many} kept here until the console is back. ${/** @type {Error} */ (error).message}`;
    timer = window.setTimeout(send, wait);
  } finally {
    sending = false;
  }
}

/** @param {Entry} entry */
async function deliver(entry) {
  const { request_id, image_ids, answer } = entry;
  try {
    await post("/labels", { request_id, image_ids, answer });
  } catch (problem) {
    const error = /** @type {import("astrolens-api").ApiError} */ (problem);
    if (error.transient || error.status === 401) throw error;
    forget(entry);
    if (image_ids.length > 1) {
      // One image of a batch is gone and nothing was recorded: the others still get their answer.
      for (const id of image_ids) enqueue([id], answer);
      return;
    }
    // Refused for good (the image is gone, no right to answer): say so, and show what is stored.
    delete answers.given[image_ids[0]];
    toast(`Answer not stored. ${error.message}`, true);
    return;
  }
  forget(entry);
}

/** What the console recorded, whoever answered. @param {(Said & {image_id: string})[]} recorded */
export function hear(recorded) {
  const unsent = new Set(queue.flatMap((entry) => entry.image_ids));
  for (const { image_id, ...said } of recorded) {
    answers.said[image_id] = said;
    // What I gave here is in it, unless it is still on its way.
    if (!unsent.has(image_id)) delete answers.given[image_id];
  }
}

/**
 * Pick up what an earlier page could not send. Another tab may send the same answer at the same time: its id makes the
 * second one harmless.
 */
function start() {
  try {
    undo = JSON.parse(sessionStorage.getItem(UNDO) ?? "[]");
  } catch {
    undo = [];
  }
  answers.undoable = undo.length;
  answers.count = undo.reduce((sum, step) => sum + step.length, 0);
  for (const key of Object.keys(localStorage).filter((one) => one.startsWith(PREFIX))) {
    try {
      queue.push(JSON.parse(localStorage.getItem(key) ?? ""));
    } catch {
      localStorage.removeItem(key);
    }
  }
  queue.sort((a, b) => a.at - b.at || a.sequence - b.sequence);
  for (const entry of queue) for (const id of entry.image_ids) answers.given[id] = entry.answer;
  tell();
  send();
  window.addEventListener("online", send);
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && send());
}

start();
