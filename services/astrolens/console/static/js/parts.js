// The small pieces that every page is made of.

import { computed, ref } from "vue";
import { ANSWERS, answerOf } from "astrolens/js/answers.js";
import { absolute, relative, words } from "astrolens/js/format.js";
import { clock } from "astrolens/js/live.js";

/** A verdict by shape and colour: diamond, half diamond, circle, dashed circle. */
export const VerdictMark = {
  props: { verdict: { type: String, default: null }, state: { type: String, default: "" }, bare: Boolean },
  setup(props) {
    const name = computed(() => props.verdict ?? (props.state === "dead_lettered" ? "dead lettered" : "not analysed"));
    return { name, words };
  },
  template: `
    <span class="verdict" :class="'v-' + (verdict ?? 'none')" :title="bare ? words(name) : null">
      <svg viewBox="0 0 12 12" aria-hidden="true">
        <path v-if="verdict === 'anomaly'" d="M6 .5 11.5 6 6 11.5 .5 6Z" fill="currentColor"/>
        <template v-else-if="verdict === 'near_miss'">
          <path d="M6 1 11 6 6 11 1 6Z" fill="none" stroke="currentColor" stroke-width="1.4"/>
          <path d="M6 1 6 11 1 6Z" fill="currentColor"/>
        </template>
        <circle v-else-if="verdict === 'ordinary'" cx="6" cy="6" r="4" fill="none" stroke="currentColor" stroke-width="1.4"/>
        <circle v-else cx="6" cy="6" r="4" fill="none" stroke="currentColor" stroke-width="1.2" stroke-dasharray="2 2"/>
      </svg>
      <span :class="{ 'visually-hidden': bare }">{{ words(name) }}</span>
    </span>`,
};

/** A person's answer: star, slashed square, circle. */
export const AnswerMark = {
  props: { answer: { type: String, default: null }, bare: Boolean },
  template: `
    <span v-if="answer" class="answer" :class="'a-' + answer" :title="bare ? answer : null">
      <svg viewBox="0 0 12 12" aria-hidden="true">
        <path v-if="answer === 'interesting'" d="M6 .6 7.6 4.2 11.5 4.6 8.6 7.2 9.4 11 6 9 2.6 11 3.4 7.2 .5 4.6 4.4 4.2Z" fill="currentColor"/>
        <path v-else-if="answer === 'artefact'" d="M1.5 1.5H10.5V10.5H1.5ZM1.5 10.5 10.5 1.5" fill="none" stroke="currentColor" stroke-width="1.5"/>
        <circle v-else cx="6" cy="6" r="4" fill="none" stroke="currentColor" stroke-width="1.5"/>
      </svg>
      <span :class="{ 'visually-hidden': bare }">{{ answer }}</span>
    </span>`,
};

/** Relative time, the absolute one (UTC) on hover and for screen readers. */
export const TimeAgo = {
  props: { at: { type: String, default: null }, never: { type: String, default: "never" }, past: { type: String, default: "" } },
  setup(props) {
    const text = computed(() => {
      if (!props.at) return props.never;
      return props.past && Date.parse(props.at) <= clock.value ? props.past : relative(props.at, clock.value);
    });
    return { text, full: computed(() => absolute(props.at)) };
  },
  template: `<time v-if="at" :datetime="at" :title="full">{{ text }}</time><span v-else class="muted">{{ text }}</span>`,
};

/** p and, always beside it, what it means; `said` is the server's `p_value_words`. */
export const PFigure = {
  props: { said: { type: Object, default: null } },
  template: `
    <span class="pfigure">
      <span v-if="!said" class="muted">not scored yet</span>
      <template v-else><b class="num">{{ said.figure }}</b> <span class="muted num">{{ said.meaning }}</span><span v-if="said.calibration" class="tag static" :class="{ inj: said.calibration.includes('not fit') }">{{ said.calibration }}</span></template>
    </span>`,
};

/** Why there is nothing, and what to do. */
export const EmptyState = {
  props: { title: { type: String, required: true }, trouble: Boolean },
  template: `
    <div class="empty" :class="{ trouble }" :role="trouble ? 'alert' : 'status'">
      <h2>{{ title }}</h2>
      <div class="empty-body"><slot/></div>
    </div>`,
};

/** A button that shows its key. */
export const KeyButton = {
  props: { k: { type: String, default: "" }, label: { type: String, required: true }, pressed: { type: Boolean, default: null }, disabled: Boolean },
  emits: ["press"],
  template: `
    <button type="button" class="btn" :data-key="k" :disabled="disabled" :title="k ? label + ' (' + k + ')' : label"
            :aria-pressed="pressed === null ? null : String(pressed)" :aria-keyshortcuts="k === 'space' ? 'Space' : k" @click="$emit('press', $event)">
      <slot>{{ label }}</slot><kbd v-if="k" aria-hidden="true">{{ k }}</kbd>
    </button>`,
};

/** Copies a text and says so for a moment. */
export const CopyButton = {
  props: { text: { type: String, required: true }, label: { type: String, default: "copy" } },
  setup(props) {
    const done = ref(false);
    const copy = async () => {
      done.value = await copyText(props.text);
      setTimeout(() => { done.value = false; }, 1200);
    };
    return { done, copy };
  },
  template: `<button type="button" class="btn tiny" :aria-label="label + ': ' + text" :title="text" @click="copy">{{ done ? 'copied' : label }}</button>`,
};

/** A line of recent values; says its last value in words beside it. */
export const Sparkline = {
  props: { values: { type: Array, required: true }, label: { type: String, required: true }, width: { type: Number, default: 132 }, height: { type: Number, default: 30 } },
  setup(props) {
    const points = computed(() => {
      const all = props.values;
      if (all.length < 2) return "";
      const top = Math.max(...all, 1e-9);
      const step = (props.width - 4) / (all.length - 1);
      return all.map((value, i) => `${(2 + i * step).toFixed(1)},${(props.height - 3 - (value / top) * (props.height - 6)).toFixed(1)}`).join(" ");
    });
    return { points };
  },
  template: `
    <svg class="spark" :viewBox="'0 0 ' + width + ' ' + height" :width="width" :height="height" role="img" :aria-label="label">
      <line x1="2" :x2="width - 2" :y1="height - 3" :y2="height - 3" class="spark-base"/>
      <polyline v-if="points" :points="points" class="spark-line"/>
    </svg>`,
};

/** Copy without the Clipboard API as well: it is missing where the page is plain HTTP on another machine. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text });
    area.style.position = "fixed";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** A sentence at the foot of the page for a few seconds. */
export function toast(text, { trouble = false } = {}) {
  window.dispatchEvent(new CustomEvent("astrolens:toast", { detail: { text, trouble } }));
}

/** What to call an image: its name, else the first part of its id. */
export const nameOf = (item) => item.name || item.image_id.slice(0, 12);

export { ANSWERS, answerOf };
