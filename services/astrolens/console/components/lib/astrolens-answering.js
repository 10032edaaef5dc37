// The buttons, keys and tags of an answer, wherever one is given.

import { ANSWERS, answers, disputed, everybody, mineOf, undoLast } from "astrolens-answers";
import { bindKeys } from "astrolens-keys";
import { KeyButton, StateMark } from "astrolens-marks";
import { computed, defineComponent, ref, watch } from "vue";

/**
 * Props: `item`, the image, where it is one. Tags that are typed go with the next answer; of an image that has one, Enter
 * gives it again with them. Events: `answer` with the answer and its tags; `undone` with the images of the step that was
 * taken back. Its children stand before the tags.
 */
export const AnswerButtons = defineComponent({
  components: { KeyButton, StateMark },
  props: { item: { type: /** @type {import("vue").PropType<any>} */ (Object), default: null } },
  emits: ["answer", "undone"],
  setup(props, { emit }) {
    const typed = ref("");
    const field = ref(/** @type {HTMLInputElement | null} */ (null));
    const mine = computed(() => props.item && mineOf(props.item));
    const stored = () => (props.item?.tags ?? []).join(", ");
    const begin = () => {
      typed.value = stored();
    };
    watch(() => `${props.item?.image_id} ${stored()}`, begin, { immediate: true });
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
    const undo = () => emit("undone", undoLast());
    /** @type {import("astrolens-keys").Binding[]} */
    const each = ANSWERS.map(({ key, value }) => [key, `Answer ${value}`, (event) => answer(value, event)]);
    bindKeys("Answers", [
      ...each,
      ["u", "Undo the last answer, many steps", undo],
      ["#", "Tags of the answer", () => field.value?.focus(), () => field.value?.offsetParent],
    ]);
    const people = computed(() => {
      const given = props.item ? Object.entries(everybody(props.item)) : [];
      return given.map(([person, value]) => `${person}: ${value}`).join(", ");
    });
    return { ANSWERS, answer, answers, disputed, field, keep, mine, people, typed, undo };
  },
  template: `
    <div class="answers" role="group" aria-label="Your answer">
      <key-button v-for="one in ANSWERS" :key="one.value" class="answer-button" :k="one.key" :label="one.value" :pressed="item ? mine === one.value : null" @press="answer(one.value)"><state-mark of="a" :state="one.value"/></key-button>
      <slot></slot>
      <key-button k="u" label="undo" :disabled="!answers.undoable" @press="undo"/>
      <input ref="field" v-model="typed" class="tags-field" maxlength="500" aria-label="Tags of your answer, separated by commas" placeholder="tags, such as: tidal tail, pair" title="They go with your answer (#)" @keydown.enter="keep" @keydown.esc="field.blur()">
      <span v-if="people" class="people muted" role="status">{{ people }}<b v-if="disputed(item)"> – people disagree; every answer is kept</b></span>
    </div>`,
});
