// Every key that is bound now, in words, and another key for each on request; see keys.py.

import { change, chosen, keysOf, nameOf, scopes, takenBy } from "astrolens-keys";
import { computed, defineComponent, onBeforeUnmount, onMounted, ref } from "vue";

/** Keys that stay what they are: they hold others, or lead through the page. */
const KEPT = new Set(["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock", "Dead", "Tab", "Shift+Tab", "Enter"]);

/** How parts of names of keys are written that are long. @type {Record<string, string>} */
const SIGNS = { ArrowRight: "→", ArrowLeft: "←", ArrowUp: "↑", ArrowDown: "↓", Page: "Pg", Escape: "Esc" };
const glyph = (/** @type {string} */ key) => key.replace(/Arrow\w+|Page|Escape/, (part) => SIGNS[part]);

export default defineComponent({
  setup() {
    const waiting = ref("");
    const problem = ref("");
    const groups = computed(() => {
      // What is called alike has one key, and one row.
      const listed = new Set();
      return [...scopes].reverse().map(({ title, bindings }) => ({
        title,
        rows: bindings
          .filter(([, label]) => !listed.has(label) && listed.add(label))
          .map((one) => ({ label: one[1], keys: keysOf(one).map(glyph).join(" ") || "none" })),
      }));
    });
    const changed = computed(() => Object.keys(chosen).length > 0);
    /** @param {KeyboardEvent} event */
    const take = (event) => {
      if (!waiting.value) return;
      // Neither the dialog nor a button may have it.
      event.preventDefault();
      event.stopImmediatePropagation();
      const key = nameOf(event);
      if (KEPT.has(key)) return;
      const taken = key === "Escape" ? "" : takenBy(key, waiting.value);
      problem.value = taken && `${glyph(key)} is “${taken}” here: give that another key first.`;
      if (taken) return;
      if (key !== "Escape") change(waiting.value, key);
      waiting.value = "";
    };
    onMounted(() => window.addEventListener("keydown", take, true));
    onBeforeUnmount(() => window.removeEventListener("keydown", take, true));
    /** @param {string} label */
    const ask = (label) => {
      problem.value = "";
      waiting.value = waiting.value === label ? "" : label;
    };
    return { ask, change, changed, groups, problem, waiting };
  },
  template: `
    <div>
      <p class="muted" role="status">{{ problem || (waiting ? 'Press the new key for “' + waiting + '”, or Esc.' : 'Choose a key to change it. This browser remembers it.') }}
        <button v-if="changed" type="button" class="btn tiny" @click="change()">All as they were</button></p>
      <div class="keys"><section v-for="group in groups" :key="group.title"><h3>{{ group.title }}</h3><dl>
        <template v-for="row in group.rows" :key="row.label">
          <dt><button type="button" class="key" :class="{ waiting: waiting === row.label }" :aria-label="(waiting === row.label ? '…' : row.keys) + ': change the key of ' + row.label" @click="ask(row.label)"><kbd>{{ waiting === row.label ? '…' : row.keys }}</kbd></button></dt><dd>{{ row.label }}</dd>
        </template></dl></section></div>
    </div>`,
});
