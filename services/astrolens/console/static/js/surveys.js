// What calibrates each survey, and the images that a person is asked to look at.

import { onMounted, ref } from "vue";
import { TimeAgo, toast } from "astrolens/js/parts.js";
import { count } from "astrolens/js/format.js";
import { live, onLive } from "astrolens/js/live.js";
import { href } from "astrolens/js/router.js";
import * as api from "astrolens/js/api.js";

/** Survey models change seldom; a status comes twice a second. */
const EVERY_MS = 5000;

export const STATES = { own: "the bundle’s", learning: "pooled, learning", "does-not-fit": "pooled, does not fit", ready: "survey model" };
const TONES = { own: "good", learning: "away", "does-not-fit": "bad", ready: "good" };

/** The surveys of the archive, kept current; `surveys` is null until they are read. */
export function useSurveys() {
  const surveys = ref(null);
  const problem = ref("");
  let readAt = 0;
  const load = async () => {
    readAt = Date.now();
    try {
      surveys.value = (await api.get("/surveys")).items;
      problem.value = "";
    } catch (error) {
      problem.value = error.message;
    }
  };
  onMounted(load);
  let analyzed = -1;
  onLive("status", () => {
    const now = live.status?.books.analyzed ?? -1;
    if (now !== analyzed && Date.now() - readAt >= EVERY_MS) {
      analyzed = now;
      load();
    }
  });
  return { surveys, problem, load };
}

/** Asks a person to look at the strangest images that a survey model was fitted on. */
export const ReviewNotices = {
  props: { surveys: { type: Array, default: null } },
  setup: () => ({ href }),
  template: `
    <template v-for="one in surveys ?? []" :key="one.survey">
      <p v-if="one.review && one.review.answered < one.review.images" class="banner quiet"><b>{{ one.survey }}</b> is a new sky, and its survey model was fitted on images that nobody has looked at. Answers to the {{ one.review.images }} strangest of them double what it finds: <a :href="href('/triage', { review: one.survey })" data-app>look at them</a> <span class="num">({{ one.review.answered }} of {{ one.review.images }} answered)</span>.</p>
    </template>`,
};

export const SurveysTable = {
  components: { TimeAgo },
  props: { surveys: { type: Array, required: true } },
  emits: ["changed"],
  setup(_, { emit }) {
    const tone = (one) => TONES[one.state] ?? "away";
    const state = (one) => STATES[one.state] ?? one.state;
    const clear = async (one) => {
      if (!window.confirm(`Judge ${one.survey} by the bundle’s own calibration again? Its earlier images are analysed again.`)) return;
      try {
        await api.post(`/surveys/${api.segment(one.survey)}/clear`);
        toast(`${one.survey} is judged by the bundle’s own calibration again.`);
      } catch (error) {
        toast(error.message, { trouble: true });
      }
      emit("changed");
    };
    return { clear, count, href, state, tone };
  },
  template: `
    <div class="table-wrap">
      <table class="table stack">
        <caption class="visually-hidden">What calibrates each survey</caption>
        <thead><tr><th scope="col">Survey</th><th scope="col">Calibration</th><th scope="col" class="right">Images</th><th scope="col">Survey model</th><th scope="col">Since</th><th scope="col">Decision</th></tr></thead>
        <tbody>
          <tr v-for="one in surveys" :key="one.survey">
            <th scope="row"><a :href="href('/gallery', { survey: one.survey })" data-app>{{ one.survey }}</a></th>
            <td data-head="Calibration"><span class="state" :class="'s-' + tone(one)">{{ state(one) }}</span><span class="reason">{{ one.failure ?? one.reason }}</span></td>
            <td data-head="Images" class="right num">{{ count(one.images) }}<template v-if="one.state === 'learning' || one.state === 'does-not-fit'"> of {{ count(one.images_needed) }}</template></td>
            <td data-head="Survey model"><template v-if="one.revision"><span class="mono" :title="one.revision.digest">{{ one.revision.digest.slice(0, 12) }}</span> <span class="muted num">on {{ count(one.revision.images) }} images<template v-if="one.revision.excluded.length">, without {{ one.revision.excluded.length }} called strange</template></span></template><span v-else class="muted">none</span>
              <span v-if="one.rejudging" class="reason num">earlier images are judged again, {{ count(one.rejudged) }} so far</span></td>
            <td data-head="Since"><time-ago :at="one.since"/></td>
            <td data-head="Decision"><a v-if="one.review" class="btn" :href="href('/triage', { review: one.survey, label: 'any' })" data-app>strangest {{ one.review.images }}</a> <button v-if="one.can_clear" type="button" class="btn" @click="clear(one)">use the bundle’s</button></td>
          </tr>
        </tbody>
      </table>
    </div>`,
};
