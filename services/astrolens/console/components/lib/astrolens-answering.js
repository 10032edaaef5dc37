// The buttons, keys and tags of an answer, wherever one is given.

import { ANSWERS, answers, disputed, everybody, mineOf } from "astrolens-answers";
import { bindKeys } from "astrolens-keys";
import { KeyButton, StateMark } from "astrolens-marks";
import { computed, defineComponent, onBeforeUnmount, ref, watch } from "vue";

/**
 * Props: `item`, the image, where it is one. Tags that are typed go with the next answer; of an image that has one, Enter
 * gives it again with them. Events: `answer` with the answer and its tags, `undo`. Its children stand before the tags.
 */
export const AnswerButtons = defineComponent({
  components: { KeyButton, StateMark },
  props: { item: { type: /** @type {import("vue").PropType<any>} */ (Object), default: null }, disabled: Boolean },
  emits: ["answer", "undo"],
  setup(props, { emit }) {
    const typed = ref("");
    const field = ref(/** @type {HTMLInputElement | null} */ (null));
    const mine = computed(() => props.item && mineOf(props.item));
    const told = computed(() => [props.item?.image_id, (props.item?.tags ?? []).join(", ")]);
    const begin = () => {
      typed.value = told.value[1];
    };
    watch(told, (now, before) => String(now) !== String(before) && begin(), { immediate: true });
    /** @param {import("astrolens-types").Answer} value @param {KeyboardEvent} [event] never by a key that is held */
    const answer = (value, event) => {
      if (event?.repeat) return;
      const tags = typed.value.split(",").map((tag) => tag.trim());
      emit("answer", value, tags.filter(Boolean));
      if (!props.item) begin();
    };
    const keep = () => {
      field.value?.blur();
      if (mine.value) answer(mine.value);
    };
    onBeforeUnmount(
      bindKeys("Answers", [
        ...ANSWERS.map(({ key, value }) => ({
          keys: [key],
          label: `Answer ${value}`,
          run: (/** @type {KeyboardEvent} */ event) => answer(value, event),
        })),
        { keys: ["u"], label: "Undo the last answer, many steps", run: () => emit("undo") },
        {
          keys: ["#"],
          label: "Tags of the answer",
          when: () => field.value?.offsetParent,
          run: () => field.value?.focus(),
        },
      ]),
    );
    const people = computed(() => {
      const said = props.item ? Object.entries(everybody(props.item)) : [];
      return said.map(([person, value]) => `${person}: ${value}`).join(", ");
    });
    return { ANSWERS, answer, answers, disputed, field, keep, mine, people, typed };
  },
  template: `
    <div class="answers" role="group" aria-label="Your answer">
      <key-button v-for="one in ANSWERS" :key="one.value" class="answer-button" :k="one.key" :label="one.value" :pressed="item ? mine === one.value : null" :disabled="disabled" @press="answer(one.value)"><state-mark of="a" :state="one.value"/></key-button>
      <slot></slot>
      <key-button k="u" label="undo" :disabled="!answers.undoable" @press="$emit('undo')"/>
      <input ref="field" v-model="typed" class="tags-field" maxlength="500" aria-label="Tags of your answer, separated by commas" placeholder="tags, such as: tidal tail, pair" title="They go with your answer (#)" @keydown.enter="keep" @keydown.esc="field.blur()">
      <span v-if="people" class="people muted" role="status">{{ people }}<b v-if="disputed(item)"> – people disagree; every answer is kept</b></span>
    </div>`,
});
