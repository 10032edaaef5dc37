// A row of similar images with what the model and people said of them.

import { AnswerMark, VerdictMark, answerOf, nameOf } from "astrolens/js/parts.js";
import { href } from "astrolens/js/router.js";

export const NeighbourRow = {
  components: { AnswerMark, VerdictMark },
  props: { items: { type: Array, required: true }, id: { type: String, default: "" } },
  setup: () => ({ answerOf, href, nameOf }),
  template: `
    <div class="row-of-thumbs">
      <a v-for="item in items" :key="item.image_id" :href="href('/image/' + item.image_id)" data-app :class="'ring-' + (item.verdict ?? 'none')" :title="nameOf(item)">
        <img :src="item.cutout" :alt="nameOf(item)" width="96" height="96" loading="lazy">
        <verdict-mark class="corner" :verdict="item.verdict" :state="item.state" bare/><answer-mark v-if="answerOf(item)" class="corner answer-corner" :answer="answerOf(item)" bare/>
        <span class="num muted" title="Cosine similarity of the embeddings">{{ item.cosine.toFixed(3) }}</span>
      </a>
    </div>`,
};
