// How many answers are on their way, and what others answered; see images.py.

import { answers, applyRecorded } from "astrolens-answers";
import { call } from "astrolens-api";
import { defineComponent, watch, watchEffect } from "vue";
import "astrolens-copy";

export default defineComponent({
  props: { user: { type: String, default: "" }, instance: { type: String, required: true } },
  setup(props, { expose }) {
    watchEffect(() => {
      answers.user = props.user;
    });
    watch(
      () => answers.problem,
      async (now, before) => {
        if (now || !before) return;
        // Where it is away again, the next answer shows it.
        const health = await call("/health").catch(() => null);
        if (health && health.instance !== props.instance) window.location.reload();
      },
    );
    expose({ applyRecorded });
    return { answers };
  },
  template: `<span v-if="answers.unsent || answers.problem" class="unsent num" role="status" :title="answers.problem || 'On their way to the record store'">{{ answers.unsent }} unsent</span>`,
});
