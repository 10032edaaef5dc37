// The strip of the strangest images; see heroes.py.

import { defineComponent } from "vue";

const ANSWERS = ["1", "2", "3"];

export default defineComponent({
  props: {
    /** what `heroes.py` says of each image */
    images: { type: /** @type {import("vue").PropType<Record<string, any>[]>} */ (Array), required: true },
  },
  emits: ["answer"],
  methods: {
    /**
     * The arrow keys move the focus, the keys of answers answer: only for a picture that was seen.
     * @param {KeyboardEvent} event
     * @param {{id: string}} image
     */
    press(event, image) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      const card = /** @type {HTMLElement} */ (event.currentTarget);
      const [after, before] = [card.nextElementSibling, card.previousElementSibling];
      const to = { ArrowRight: after, l: after, ArrowLeft: before, h: before }[event.key];
      const answers = ANSWERS.includes(event.key);
      if (to === undefined && !answers) return;
      event.preventDefault();
      if (answers) {
        const picture = card.querySelector("img");
        if (!picture?.complete || !picture.naturalWidth) return;
        this.$emit("answer", image.id, event.key);
      }
      /** @type {HTMLElement | null} */ (to ?? (answers ? (after ?? before) : null))?.focus();
    },
  },
  template: `
    <div class="heroes">
      <a v-for="image in images" :key="image.id" class="hero" :class="'ring-' + image.verdict" :href="image.href" :data-image="image.id" data-focus @keydown="press($event, image)">
        <img :src="image.cutout" :alt="image.name" width="256" height="256">
        <span v-if="image.simulated" class="tag sim">simulated</span>
        <span class="hero-text">
          <span class="hero-line"><b class="name">{{ image.name }}</b><span class="mark" :class="'v-' + image.verdict">{{ image.verdict_words }}</span></span>
          <span class="num">{{ image.figure }} <span class="muted">{{ image.meaning }}</span></span>
          <span class="muted">{{ image.survey }} · {{ image.kind }}</span>
        </span>
      </a>
    </div>`,
});
