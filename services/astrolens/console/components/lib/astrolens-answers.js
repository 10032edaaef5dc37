// People's answers: shown at once, kept in the browser until the console has stored them, undone in many steps.

import { call, parsed } from "astrolens-api";
import { reactive } from "vue";

/** @typedef {import("astrolens-types").Answer} Answer */
/** @typedef {import("astrolens-types").ImageCard} ImageCard */
/**
 * What is posted: again with the cursor of its answer, until that has none. `count`: images that are left.
 * @typedef {{path: string, body: Record<string, any>, count: number, at: number}} Entry
 */
/**
 * An image of a step: my answer before and then, what others had answered, and the requests that gave my answer here.
 * @typedef {{image_id: string, name: string | null, before: Answer | null, tags?: string[], given?: Answer,
 *   others?: Record<string, Answer>, requests?: string[]}} Before
 */
/** @typedef {{images: Before[], request_id?: string, count: number}} Step of one list where it has a `request_id` */
/** @typedef {{label: Answer | null, answers: Record<string, Answer>}} Recorded */

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
/** As many as the API takes. */
const MAX_UNDOES = 20;
const RETRY_MS = [500, 1000, 2000];

/**
 * `given`: mine, of this page, by image; `recorded`: what the console recorded since the list was read.
 * `refused`: the image whose answer the console refused last.
 * @type {{given: Record<string, Answer | null>, recorded: Record<string, Recorded>, user: string, unsent: number,
 *   count: number, undoable: number, problem: string, refused: Before | null}}
 */
export const answers = reactive({
  given: {},
  recorded: {},
  user: "",
  unsent: 0,
  count: 0,
  undoable: 0,
  problem: "",
  refused: null,
});

/** @type {Entry[]} */
let queue = [];
/** @type {Step[]} */
let undo = [];
let sending = false;
let failures = 0;
let timer = 0;

/** @param {string} message @param {boolean} [isError] */
export function toast(message, isError = false) {
  // Below the header: the buttons that it names are at the foot.
  const classes = isError ? "notice error" : "notice";
  window.Quasar.Notify.create({ message, position: "top", classes, timeout: isError ? 6000 : 3000, group: false });
}

/** @param {ImageCard} item */
const recordedOf = (item) => answers.recorded[item.image_id] ?? item;

/** My own answer. @param {ImageCard} item @returns {Answer | null} */
export const mineOf = (item) =>
  item.image_id in answers.given ? answers.given[item.image_id] : (recordedOf(item).answers[answers.user] ?? null);

/** Everybody's answers, by person. @param {ImageCard} item @returns {Record<string, Answer>} */
export function everybody(item) {
  const { [answers.user]: _, ...others } = recordedOf(item).answers;
  const mine = mineOf(item);
  return mine ? { ...others, [answers.user]: mine } : others;
}

/** The answer to show: mine, else the last of the others that stands. @param {ImageCard} item @returns {Answer | null} */
export function answerOf(item) {
  const all = Object.values(everybody(item));
  return mineOf(item) ?? all.find((one) => one === recordedOf(item).label) ?? all[0] ?? null;
}

/** Whether people disagree. @param {ImageCard} item */
export const disputed = (item) => new Set(Object.values(everybody(item))).size > 1;

/** What to call an image: its name, else the first part of its id. @param {{name: string | null, image_id: string}} item */
export const nameOf = (item) => item.name || item.image_id.slice(0, 12);

/** A number as people write it. @param {number} n */
export const many = (n) => n.toLocaleString("en-US");

/** A number with what it counts: `1 image`. @param {number} n @param {string} noun */
export const plural = (n, noun) => `${many(n)} ${noun}${n === 1 ? "" : "s"}`;

/** `randomUUID` is missing on plain HTTP from another machine. */
const newId = () =>
  Array.from(window.crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");

const showUnsent = () => {
  answers.unsent = queue.reduce((sum, { count }) => sum + count, 0);
};

/** @param {Entry} entry @param {boolean} keep in the browser, or no longer */
function store(entry, keep) {
  if (!keep) queue = queue.filter((other) => other !== entry);
  showUnsent();
  const name = PREFIX + entry.body.request_id + (entry.path.endsWith("take-back") ? "/back" : "");
  try {
    if (keep) localStorage.setItem(name, JSON.stringify(entry));
    else localStorage.removeItem(name);
  } catch {
    answers.problem = "This browser keeps nothing: an answer is lost if the page closes before it is sent.";
  }
}

/** @param {string} path @param {Record<string, any>} body @param {number} count */
function enqueue(path, body, count) {
  const entry = { path, body, count, at: Math.max(Date.now(), (queue.at(-1)?.at ?? 0) + 1) };
  queue.push(entry);
  store(entry, true);
}

/**
 * @param {string[]} ids @param {Answer | null} answer @param {string[]} [tags]
 * @param {string[]} [undoes] requests whose answer is undone; a newer answer of mine stays
 */
function enqueueImages(ids, answer, tags = [], undoes = []) {
  for (let at = 0; at < ids.length; at += BATCH) {
    const image_ids = ids.slice(at, at + BATCH);
    const body = { request_id: newId(), image_ids, answer, tags: answer ? tags : [], undoes };
    enqueue("/labels", body, image_ids.length);
    for (const id of image_ids) {
      const step = undo.findLast(({ request_id, images }) => !request_id && images.some((one) => one.image_id === id));
      const image = step?.images.find((one) => one.image_id === id);
      if (image) image.requests = [body.request_id];
    }
  }
  for (const id of ids) answers.given[id] = answer;
}

/** @param {number} more answers, or fewer */
function saveUndo(more) {
  undo = undo.slice(-MAX_UNDO);
  answers.undoable = undo.length;
  answers.count = Math.max(0, answers.count + more);
  try {
    sessionStorage.setItem(UNDO, JSON.stringify(undo));
  } catch {
    answers.problem = "This browser keeps nothing: undo reaches back to the last reload only.";
  }
  send();
}

/**
 * Answer for one or many images: shown in this very frame, sent after.
 * @param {ImageCard[]} items @param {Answer} answer @param {string[]} [tags]
 * @param {{query: string, count: number}} [list] of which the images are those that are shown: all of it is answered
 */
export function give(items, answer, tags = [], list) {
  const images = items.map((item) => {
    const { image_id, name, tags } = item;
    return { image_id, name, tags, before: mineOf(item), given: answer, others: everybody(item) };
  });
  const ids = images.map(({ image_id }) => image_id);
  const count = list?.count ?? ids.length;
  const request_id = list && newId();
  undo.push({ images, request_id, count });
  if (list) {
    for (const id of ids) answers.given[id] = answer;
    enqueue(`/labels/matching?${list.query}`, { request_id, answer, tags }, count);
  } else {
    enqueueImages(ids, answer, tags);
    for (const item of items) item.tags = tags;
  }
  saveUndo(count);
}

/** What an image's answers are once mine is taken back. @param {Before} one */
function undone(one) {
  const all = answers.recorded[one.image_id]?.answers ?? one.others ?? {};
  const others = Object.entries(all).filter(([person]) => person !== answers.user);
  if (!others.length) return `${nameOf(one)} is ${one.before ?? "unanswered"} again.`;
  const mine = one.before ? `your answer is ${one.before} again` : "your answer is taken back";
  const theirs = others.map(([person, value]) => `${person}: ${value}`).join(", ");
  return `${nameOf(one)}: ${mine}; ${theirs} ${others.length === 1 ? "stands" : "stand"}.`;
}

/** Whether no answer of mine is known that was given elsewhere since. @param {Before} one */
const isMine = ({ image_id, given }) => {
  const known = image_id in answers.given ? undefined : answers.recorded[image_id];
  return !known || !given || known.answers[answers.user] === given;
};

/** @param {{image_id: string, name: string | null}} one @param {Answer | null | undefined} stands */
const newer = (one, stands) => `${nameOf(one)}: you have answered anew since, and ${stands ?? "no answer"} stands.`;

/** Take the last step back and say so; null where there is none. */
export function undoLast() {
  const step = undo.pop();
  if (!step) {
    toast("Nothing to undo.");
    return null;
  }
  const { images, request_id, count } = step;
  if (request_id) {
    // What of it is not sent yet is not sent any more.
    for (const entry of queue.filter(({ body }) => body.request_id === request_id)) store(entry, false);
    for (const { image_id, before } of images) answers.given[image_id] = before;
    enqueue("/labels/take-back", { request_id }, count);
    // As the console names the answers that it gives back; see `BulkLabelling.take_back`.
    for (const { images } of undo) for (const one of images) one.requests?.push(`${request_id}/back`);
  } else {
    const same = (/** @type {Before} */ one) => JSON.stringify([one.before, one.tags, one.requests]);
    for (const group of Map.groupBy(images.filter(isMine), same).values()) {
      const ids = group.map((one) => one.image_id);
      enqueueImages(ids, group[0].before, group[0].tags, group[0].requests?.slice(-MAX_UNDOES));
    }
  }
  saveUndo(-count);
  const one = count === 1 && images[0];
  if (one && !isMine(one)) toast(newer(one, answers.recorded[one.image_id].answers[answers.user]));
  else toast(`Undone: ${one ? undone(one) : `${plural(count, "image")}.`}`);
  return images;
}

/** Take an image whose answer was refused out of the last step that has it. @param {string} id */
function withdraw(id) {
  const step = undo.findLast(({ images, request_id }) => !request_id && images.some((one) => one.image_id === id));
  const image = step?.images.find((one) => one.image_id === id) ?? null;
  if (!step || !image) return null;
  step.images = step.images.filter((one) => one !== image);
  step.count -= 1;
  undo = undo.filter((one) => one !== step || step.count);
  saveUndo(-1);
  return image;
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
    const kept = `${plural(answers.unsent, "answer")} ${answers.unsent === 1 ? "is" : "are"}`;
    answers.problem = `${kept} kept here until the console is back. ${/** @type {Error} */ (error).message}`;
    timer = window.setTimeout(send, RETRY_MS[failures] ?? RETRY_MS[RETRY_MS.length - 1]);
    failures += 1;
  }
  sending = false;
}

/** @param {Entry} entry */
async function deliver(entry) {
  const { path, body } = entry;
  try {
    const { next, answered, labels = [] } = await call(path, body);
    for (const { image_id, name, newer_stands, answer } of labels)
      if (newer_stands) toast(newer({ image_id, name }, answer));
    // Taken back while it was under way: its last batch is taken back by what follows it in the queue.
    if (!queue.includes(entry)) return;
    entry.count = Math.max(1, entry.count - answered);
    body.after = next;
    store(entry, Boolean(next));
  } catch (problem) {
    const error = /** @type {import("astrolens-api").ApiError} */ (problem);
    if (error.transient) throw error;
    store(entry, false);
    // One image of a batch is gone and nothing was recorded: the others still get their answer.
    if (body.image_ids?.length > 1) for (const id of body.image_ids) enqueueImages([id], body.answer, body.tags);
    else {
      // Refused for good (the image is gone, no right to answer): say so, and show what is stored.
      const id = body.image_ids?.[0];
      delete answers.given[id];
      answers.refused = body.answer && withdraw(id);
      toast(`Answer${answers.refused ? ` for ${nameOf(answers.refused)}` : ""} not stored. ${error.message}`, true);
    }
  }
}

/** What the console recorded, whoever answered. @param {(Recorded & {image_id: string})[]} recorded */
export function applyRecorded(recorded) {
  const unsent = new Set(queue.flatMap(({ body }) => body.image_ids ?? []));
  for (const { image_id, ...latest } of recorded) {
    answers.recorded[image_id] = latest;
    // What I gave here is in it, unless it is still on its way.
    if (!unsent.has(image_id)) delete answers.given[image_id];
  }
}

// Pick up what an earlier page could not send. Another tab may send the same answer at the same time: its id makes the
// second one harmless.
undo = parsed(sessionStorage.getItem(UNDO), []).filter((/** @type {Step} */ step) => step.images);
for (const name of Object.keys(localStorage).filter((one) => one.startsWith(PREFIX))) {
  // An earlier version kept the body's fields themselves, and a number that tells answers of one millisecond apart.
  const { path = "/labels", count = 1, at, sequence: _, body, ...fields } = parsed(localStorage.getItem(name), {});
  const entry = { path, count, at, body: body ?? fields };
  if (entry.body.request_id) queue.push(entry);
  else localStorage.removeItem(name);
  for (const id of entry.body.image_ids ?? []) answers.given[id] = entry.body.answer;
}
queue.sort((a, b) => a.at - b.at);
showUnsent();
saveUndo(undo.reduce((sum, { count }) => sum + count, 0));
window.addEventListener("online", send);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && send());
