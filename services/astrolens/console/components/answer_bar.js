// The answers to one image by buttons and keys; see images.py.

import { AnswerButtons } from "astrolens-answering";
import { give, nameOf, toast } from "astrolens-answers";
import { computed, defineComponent } from "vue";

export default defineComponent({
  components: { AnswerButtons },
  props: { card: { type: Object, required: true } },
  setup(props) {
    const item = /** @type {import("vue").ComputedRef<import("astrolens-types").ImageCard>} */ (
      computed(() => ({ ...props.card }))
    );
    /** @param {import("astrolens-types").Answer} value @param {string[]} tags */
    const answer = (value, tags) => {
      // The picture of this image, and nothing before it was seen.
      if (!document.querySelector(".viewer[data-state=ready]")) return toast("The picture is not shown yet.");
      give([item.value], value, tags);
      toast(`${nameOf(item.value)}: ${[value, ...tags].join(", ")}. Undo with u.`);
    };
    return { answer, item };
  },
  template: `<answer-buttons :item="item" @answer="answer"/>`,
});
