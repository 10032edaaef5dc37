// The answers to one image by buttons and keys; see answers.py.

import {
  ANSWERS,
  answerOf,
  answers,
  disputed,
  everybody,
  give,
  mineOf,
  nameOf,
  toast,
  undoLast,
} from "astrolens-answers";
import { bindKeys } from "astrolens-keys";
import { AnswerMark, KeyButton } from "astrolens-marks";
import { computed, defineComponent, onBeforeUnmount } from "vue";

/** @typedef {import("astrolens-types").ImageCard} ImageCard */

export default defineComponent({
  components: { AnswerMark, KeyButton },
  props: { card: { type: Object, required: true } },
  setup(props) {
    const item = /** @type {import("vue").ComputedRef<ImageCard>} */ (computed(() => props.card));
    /** @param {import("astrolens-types").Answer} value @param {KeyboardEvent} [event] */
    const answer = (value, event) => {
      if (event?.repeat) return;
      // The picture of this image, and nothing before it was seen.
      if (!document.querySelector(".viewer[data-state=ready]")) {
        toast("The picture is not shown yet.");
        return;
      }
      give([item.value], value);
      toast(`${nameOf(item.value)}: ${value}. Undo with u.`);
    };
    const keys = ANSWERS.map(({ key, value }) => ({
      keys: [key],
      label: `Answer ${value}`,
      run: (/** @type {KeyboardEvent} */ event) => answer(value, event),
    }));
    const undoKey = { keys: ["u"], label: "Undo the last answer, many steps", run: undoLast };
    onBeforeUnmount(bindKeys("Answers", [...keys, undoKey]));
    const people = computed(() =>
      Object.entries(everybody(item.value))
        .map(([who, said]) => `${who}: ${said}`)
        .join(", "),
    );
    return { ANSWERS, answer, answerOf, answers, disputed, item, mineOf, people, undoLast };
  },
  template: `
    <div class="answers" role="group" aria-label="Your answer">
      <key-button v-for="one in ANSWERS" :key="one.value" class="answer-button" :k="one.key" :label="one.value" :pressed="mineOf(item) === one.value" @press="answer(one.value)"><answer-mark :answer="one.value"/></key-button>
      <key-button k="u" label="undo" :disabled="!answers.undoable" @press="undoLast"/>
      <span v-if="people" class="people muted" role="status">{{ people }}<b v-if="disputed(item)"> – people disagree; every answer is kept</b></span>
    </div>`,
});
