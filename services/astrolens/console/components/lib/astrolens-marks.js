// What every component shows alike: verdicts and answers by shape and colour (console.css), and buttons that name their key.

import { shown } from "astrolens-keys";
import { computed, defineComponent } from "vue";

/** A verdict. */
export const VerdictMark = defineComponent({
  props: { verdict: { type: String, default: null }, bare: Boolean },
  computed: {
    name() {
      return (this.verdict ?? "not analysed").replace("_", " ");
    },
  },
  template: `<span class="mark" :class="'v-' + (verdict ?? 'none')" :title="bare ? name : null"><span :class="{ 'visually-hidden': bare }">{{ name }}</span></span>`,
});

/** An answer; with a question mark where people disagree. */
export const AnswerMark = {
  props: { answer: { type: String, required: true }, bare: Boolean, disputed: Boolean },
  template: `<span class="mark" :class="'a-' + answer" :title="disputed ? answer + '; others answered differently' : (bare ? answer : null)"><span :class="{ 'visually-hidden': bare }">{{ answer }}</span><b v-if="disputed">?</b></span>`,
};

/** A button that shows its key. */
export const KeyButton = defineComponent({
  props: {
    k: { type: String, required: true },
    label: { type: String, required: true },
    pressed: { type: Boolean, default: null },
  },
  emits: ["press"],
  setup: (props) => ({ key: computed(() => shown(props.k)) }),
  template: `
    <button type="button" class="btn" :title="label + ' (' + key + ')'" :aria-pressed="pressed === null ? null : String(pressed)"
            :aria-keyshortcuts="key === 'space' ? 'Space' : key" @click="$emit('press')"><slot>{{ label }}</slot><kbd v-if="key" aria-hidden="true">{{ key }}</kbd></button>`,
});
