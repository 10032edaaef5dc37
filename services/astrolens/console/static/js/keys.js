// One table of keys for the whole console: what is bound is what the overlay shows.

import { onBeforeUnmount, shallowReactive } from "vue";

export const scopes = shallowReactive([]);

const NATIVE = new Set(["INPUT", "TEXTAREA", "SELECT"]);

/** The name of a pressed key as bindings write it: `a`, `Shift+A`, `space`, `Escape`, `?`. */
export function nameOf(event) {
  if (event.key === " ") return event.shiftKey ? "Shift+space" : "space";
  if (/^[a-z]$/i.test(event.key)) return event.shiftKey ? `Shift+${event.key.toUpperCase()}` : event.key.toLowerCase();
  // Symbols are what the layout makes of them: `?` needs Shift here and AltGr there.
  if (event.key.length === 1) return event.key;
  return event.shiftKey ? `Shift+${event.key}` : event.key;
}

/**
 * Bind keys while a component lives. Later scopes win over earlier ones.
 * @param {string} title heading in the overlay
 * @param {Array<{key: string|string[], label: string, run: Function, when?: Function, typing?: boolean}>} bindings
 */
export function useKeys(title, bindings) {
  const scope = { title, bindings };
  scopes.push(scope);
  onBeforeUnmount(() => {
    const index = scopes.indexOf(scope);
    if (index >= 0) scopes.splice(index, 1);
  });
  return scope;
}

export const keysOf = (binding) => (Array.isArray(binding.key) ? binding.key : [binding.key]);

function handle(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const typing = NATIVE.has(event.target.tagName) || event.target.isContentEditable;
  const name = nameOf(event);
  // Enter and space belong to the focused control.
  const control = event.target.closest?.("a[href],button,summary,[role=button]");
  if (control && (name === "Enter" || (name === "space" && control.tagName !== "A"))) return;
  for (let index = scopes.length - 1; index >= 0; index -= 1) {
    for (const binding of scopes[index].bindings) {
      if (!keysOf(binding).includes(name)) continue;
      if (typing && !binding.typing) continue;
      if (binding.when && !binding.when(event)) continue;
      event.preventDefault();
      binding.run(event);
      return;
    }
    if (scopes[index].modal && !typing) return;
  }
}

/** Listen once for the whole page. */
export function listen() {
  document.addEventListener("keydown", handle);
  // A button pressed with the mouse keeps the focus; the next `space` would press it again and answer twice.
  document.addEventListener("click", (event) => {
    if (event.detail > 0) event.target.closest?.("button[data-key]")?.blur();
  });
}
