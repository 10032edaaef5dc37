// What every component shows alike: verdicts and answers by shape and colour (console.css), and buttons that name their key.

import { defineComponent } from "vue";
import "astrolens-keys";

/** A verdict or an answer; with a question mark where people disagree. */
export const StateMark = defineComponent({
  props: {
    state: { type: String, default: null },
    of: { type: String, default: "v" },
    bare: Boolean,
    disputed: Boolean,
  },
  computed: {
    name() {
      return (this.state ?? "not analysed").replace("_", " ") + (this.disputed ? "; others answered differently" : "");
    },
  },
  template: `<span class="mark" :class="of + '-' + (state ?? 'none')" :title="bare || disputed ? name : null"><span :class="{ 'visually-hidden': bare }">{{ name.split(';')[0] }}</span><b v-if="disputed">?</b></span>`,
});

/** A button that shows its key. */
export const KeyButton = defineComponent({
  props: {
    k: { type: String, required: true },
    label: { type: String, required: true },
    pressed: { type: Boolean, default: null },
  },
  emits: ["press"],
  template: `
    <button type="button" class="btn" :data-title="label" :aria-pressed="pressed === null ? null : String(pressed)" @click="$emit('press')"><slot>{{ label }}</slot><key-cap :k="k" aria-hidden="true"/></button>`,
});
