// How many answers are on their way, and what others answered; see answers.py.

import { answers, hear } from "astrolens-answers";
import { defineComponent, watch } from "vue";
import "astrolens-copy";

export default defineComponent({
  props: { user: { type: String, default: "" } },
  setup(props, { expose }) {
    watch(
      () => props.user,
      (user) => {
        answers.user = user;
      },
      { immediate: true },
    );
    expose({ hear });
    return { answers };
  },
  template: `<span v-if="answers.unsent || answers.problem" class="unsent num" role="status" :title="answers.problem || 'On their way to the record store'">{{ answers.unsent }} unsent</span>`,
});
