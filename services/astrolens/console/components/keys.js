// Keys of a page that is made in Python; see keys.py.

import { bindKeys } from "astrolens-keys";
import { defineComponent, onBeforeUnmount } from "vue";

/** @typedef {{keys: string[], label: string, target: string}} Shortcut */

/** @param {string} selector of what is focused where it is a field or says so, and clicked otherwise */
function activate(selector) {
  const found = /** @type {HTMLElement | null} */ (document.querySelector(selector));
  if (found instanceof HTMLInputElement) {
    found.focus();
    found.select();
  } else if (found?.hasAttribute("data-focus")) found.focus();
  else found?.click();
}

export default defineComponent({
  props: {
    title: { type: String, required: true },
    shortcuts: { type: /** @type {import("vue").PropType<Shortcut[]>} */ (Array), required: true },
  },
  emits: ["press"],
  setup(props, { emit }) {
    const bindings = props.shortcuts.map(({ keys, label, target }, index) => ({
      keys,
      label,
      run: () => (target ? activate(target) : emit("press", index)),
    }));
    onBeforeUnmount(bindKeys(props.title, bindings));
    return () => null;
  },
});
