// How many answers are on their way, and what others answered; see images.py.

import { answers, hear } from "astrolens-answers";
import { defineComponent, watchEffect } from "vue";
import "astrolens-copy";

export default defineComponent({
  props: { user: { type: String, default: "" } },
  setup(props, { expose }) {
    watchEffect(() => {
      answers.user = props.user;
    });
    expose({ hear });
    return { answers };
  },
  template: `<span v-if="answers.unsent || answers.problem" class="unsent num" role="status" :title="answers.problem || 'On their way to the record store'">{{ answers.unsent }} unsent</span>`,
});
