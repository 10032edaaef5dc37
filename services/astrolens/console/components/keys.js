// Keys of a page that is made in Python; see keys.py.

import { bindKeys, scopes } from "astrolens-keys";

/** @typedef {{keys: string[], label: string, target: string}} Shortcut */

/** @param {string} selector of what is focused where one types into it, and clicked otherwise */
function activate(selector) {
  const found = /** @type {HTMLElement | null} */ (document.querySelector(selector));
  if (found instanceof HTMLInputElement) {
    found.focus();
    found.select();
  } else found?.click();
}

export default {
  props: {
    title: { type: String, required: true },
    /** @type {import("vue").PropType<Shortcut[]>} */
    shortcuts: { type: Array, required: true },
  },
  emits: ["press", "overlay"],
  mounted() {
    this.release = bindKeys(
      this.title,
      this.shortcuts.map(({ keys, label, target }, index) => ({
        keys,
        label,
        run: () => (target ? activate(target) : this.$emit("press", index)),
      })),
    );
  },
  unmounted() {
    this.release();
  },
  methods: {
    /** Every key that is bound now, for the overlay: called from Python. */
    all() {
      return scopes.map(({ title, bindings }) => ({
        title,
        rows: bindings.map(({ keys, label }) => ({ keys, label })),
      }));
    },
  },
  render: () => null,
};
