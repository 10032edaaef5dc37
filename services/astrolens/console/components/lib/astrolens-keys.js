// One table of keys for the whole page: what is bound is what the overlay and the buttons show.

import { parsed } from "astrolens-api";
import { onBeforeUnmount, reactive, shallowReactive, watchEffect } from "vue";

/**
 * Keys with blanks between them, named as `nameOf` does (`a Shift+A space Escape ?`); what the overlay says; what they do;
 * and whether they are bound at this moment.
 * @typedef {[keys: string, label: string, run: (event: KeyboardEvent) => void, when?: () => unknown]} Binding
 */

/** @type {{title: string, bindings: Binding[]}[]} later ones win over earlier ones */
export const scopes = shallowReactive([]);

const STORED = "astrolens.keys";
const stored = Object.entries(parsed(localStorage.getItem(STORED), {})).filter(([, key]) => typeof key === "string");

/**
 * Keys that the person at this browser chose, by what they do. What is called alike on two pages has one key.
 * @type {Record<string, string>}
 */
export const chosen = reactive(Object.fromEntries(stored));

/** The keys of a binding: the chosen one, else its own that nobody chose for something else. @param {Binding} binding */
export const keysOf = ([keys, label]) => {
  const others = new Set(Object.values(chosen));
  return label in chosen ? [chosen[label]] : keys.split(" ").filter((key) => !others.has(key));
};

/** What is bound to a key, the last that was bound first. @param {(binding: Binding) => unknown} test */
const bound = (test) => scopes.flatMap(({ bindings }) => bindings).findLast(test);

/** What else a key does now; empty where it is free. @param {string} key @param {string} label */
export const takenBy = (key, label) => bound((one) => one[1] !== label && keysOf(one).includes(key))?.[1] ?? "";

/** Choose a key; without a label, every key as it was made. @param {string} [label] @param {string} [key] */
export function change(label = "", key = "") {
  if (label) chosen[label] = key;
  else for (const each of Object.keys(chosen)) delete chosen[each];
  localStorage.setItem(STORED, JSON.stringify(chosen));
}

/** What a button shows that was made for a key. @param {string} key */
export const shown = (key) => {
  const binding = bound(([keys]) => keys.split(" ").includes(key));
  return binding ? (keysOf(binding)[0] ?? "") : key;
};

/** A key on what it is for, `<key-cap k="m">`: the one chosen for it. What has `data-title` says it on hover. */
class KeyCap extends HTMLElement {
  connectedCallback() {
    this.stop = watchEffect(() => {
      const key = shown(this.getAttribute("k") ?? "");
      const { parentElement: of } = this;
      this.textContent = key.replace("Escape", "Esc");
      this.hidden = !key;
      if (!of?.dataset.title) return;
      of.title = key ? `${of.dataset.title} (${key})` : of.dataset.title;
      of.setAttribute("aria-keyshortcuts", key.replace("space", "Space"));
    });
  }

  disconnectedCallback() {
    this.stop?.();
  }
}
customElements.define("key-cap", KeyCap);

/** The name of a pressed key as bindings write it. @param {KeyboardEvent} event */
export function nameOf(event) {
  if (event.key === " ") return event.shiftKey ? "Shift+space" : "space";
  if (/^[a-z]$/i.test(event.key)) return event.shiftKey ? `Shift+${event.key.toUpperCase()}` : event.key.toLowerCase();
  // Symbols are what the layout makes of them: `?` needs Shift here and AltGr there.
  return event.shiftKey && event.key.length > 1 ? `Shift+${event.key}` : event.key;
}

/** Bind keys as long as the component lives. @param {string} title in the overlay @param {Binding[]} bindings */
export function bindKeys(title, bindings) {
  const scope = { title, bindings };
  scopes.push(scope);
  onBeforeUnmount(() => scopes.splice(scopes.indexOf(scope), 1));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
  const target = /** @type {HTMLElement} */ (event.target);
  // Inert where a person types, and while a dialog or the list of a choice is open.
  if (target.isContentEditable || target.matches?.("input, textarea, select")) return;
  if (document.querySelector(".q-dialog, .q-menu")) return;
  const name = nameOf(event);
  // Enter and space belong to the focused control.
  const control = target.closest?.("a[href],button,summary,[role=button]");
  if (control && (name === "Enter" || (name === "space" && control.tagName !== "A"))) return;
  const binding = bound((one) => keysOf(one).includes(name) && (!one[3] || one[3]()));
  if (!binding) return;
  event.preventDefault();
  binding[2](event);
});
// A button pressed with the mouse keeps the focus; the next `space` would press it again and answer twice.
document.addEventListener("click", (event) => {
  if (event.detail > 0) /** @type {HTMLElement} */ (event.target).closest?.("button")?.blur();
});
