// Keys of a page that is made in Python; see keys.py.

import { bindKeys } from "astrolens-keys";
import { defineComponent } from "vue";

/** @typedef {{keys: string[], label: string, target: string, presses: boolean}} Shortcut */

/** @param {string} selector of what is focused where it is a field or says so, and clicked otherwise */
function activate(selector) {
  const found = /** @type {HTMLElement | null} */ (document.querySelector(selector));
  if (!found?.matches("input, [data-focus]")) found?.click();
  else found.focus();
  if (found instanceof HTMLInputElement) found.select();
}

/** The image that has the focus, once its picture was seen. */
function focusedImage() {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement?.closest("[data-image]"));
  return focused?.querySelector("img")?.naturalWidth ? focused.dataset.image : "";
}

export default defineComponent({
  props: {
    title: { type: String, required: true },
    shortcuts: { type: /** @type {import("vue").PropType<Shortcut[]>} */ (Array), required: true },
  },
  emits: ["press"],
  setup(props, { emit }) {
    /** @param {Shortcut} shortcut @param {number} index @returns {import("astrolens-keys").Binding} */
    const binding = ({ keys, label, target, presses }, index) => {
      const press = (/** @type {KeyboardEvent} */ event) => {
        if (presses && !event.repeat) emit("press", index, focusedImage());
        if (target) activate(target);
      };
      return [keys.join(" "), label, press];
    };
    bindKeys(props.title, props.shortcuts.map(binding));
    return () => null;
  },
});
