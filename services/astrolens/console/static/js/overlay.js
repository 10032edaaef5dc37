// The overlay of all keys, and the short sentences at the foot of the page.

import { nextTick, onBeforeUnmount, onMounted, ref } from "vue";
import { keysOf, scopes, useKeys } from "astrolens/js/keys.js";

export const Dialog = {
  props: { title: { type: String, required: true }, wide: Boolean },
  emits: ["close"],
  setup(props, { emit }) {
    const root = ref(null);
    const before = document.activeElement;
    const close = () => emit("close");
    const scope = useKeys(props.title, [{ key: "Escape", label: "Close", typing: true, run: close }, { key: "?", label: "Close", run: close }]);
    scope.modal = true;
    scope.hidden = true;
    onMounted(async () => {
      await nextTick();
      (root.value?.querySelector("[autofocus], a[href], button:not(.dialog-close), input, textarea, select") ?? root.value)?.focus();
    });
    onBeforeUnmount(() => before?.focus?.());
    /** The focus stays inside while the dialog is open. */
    const onTab = (event) => {
      const all = [...root.value.querySelectorAll("a[href], button:not([disabled]), input, textarea, select, [tabindex='0']")];
      if (!all.length) return;
      const at = all.indexOf(document.activeElement);
      const next = event.shiftKey ? at - 1 : at + 1;
      if (next < 0 || next >= all.length || at < 0) {
        event.preventDefault();
        all.at(event.shiftKey ? -1 : 0).focus();
      }
    };
    return { close, onTab, root };
  },
  template: `
    <div class="veil" @click.self="close">
      <div ref="root" class="dialog" :class="{ wide }" role="dialog" aria-modal="true" :aria-label="title" tabindex="-1" @keydown.tab="onTab">
        <div class="dialog-head"><h2>{{ title }}</h2><button type="button" class="btn tiny dialog-close" aria-label="Close" @click="close">Esc</button></div>
        <slot/>
      </div>
    </div>`,
};

const GLYPHS = { ArrowRight: "→", ArrowLeft: "←", ArrowUp: "↑", ArrowDown: "↓", PageUp: "PgUp", PageDown: "PgDn", Escape: "Esc" };

export const KeyOverlay = {
  components: { Dialog },
  emits: ["close"],
  setup() {
    const groups = [...scopes]
      .reverse()
      .filter((scope) => !scope.hidden)
      .map((scope) => ({ title: scope.title, rows: scope.bindings.filter((one) => one.label).map((one) => ({ label: one.label, keys: keysOf(one).map((key) => (key === "+" ? ["+"] : key.split("+").map((part) => GLYPHS[part] ?? part))) })) }));
    return { groups };
  },
  template: `
    <Dialog title="Keys" wide @close="$emit('close')">
      <div class="keys" tabindex="0">
        <section v-for="group in groups" :key="group.title">
          <h3>{{ group.title }}</h3>
          <dl><template v-for="row in group.rows" :key="row.label">
            <dt><template v-for="(key, index) in row.keys" :key="index"><span v-if="index" class="muted"> or </span><template v-for="(part, at) in key" :key="at"><span v-if="at" class="muted">+</span><kbd>{{ part }}</kbd></template></template></dt>
            <dd>{{ row.label }}</dd>
          </template></dl>
        </section>
      </div>
    </Dialog>`,
};

const SHOWN_MS = 5000;

export const Toasts = {
  setup() {
    const toasts = ref([]);
    let next = 0;
    const onToast = (event) => {
      const entry = { id: (next += 1), ...event.detail };
      toasts.value = [...toasts.value.slice(-2), entry];
      setTimeout(() => {
        toasts.value = toasts.value.filter((one) => one.id !== entry.id);
      }, SHOWN_MS);
    };
    onMounted(() => window.addEventListener("astrolens:toast", onToast));
    onBeforeUnmount(() => window.removeEventListener("astrolens:toast", onToast));
    return { toasts };
  },
  template: `<div class="toasts" role="status" aria-live="polite"><p v-for="one in toasts" :key="one.id" :class="{ trouble: one.trouble }">{{ one.text }}</p></div>`,
};
