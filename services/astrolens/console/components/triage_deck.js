// One large image, the next three waiting, one key an answer; see images.py.

import { enter, go, imageAddress, keep, query } from "astrolens-address";
import { AnswerButtons } from "astrolens-answering";
import { answerOf, answers, give, many, nameOf, toast, undoLast } from "astrolens-answers";
import { call } from "astrolens-api";
import { bindKeys } from "astrolens-keys";
import { ImageList } from "astrolens-list";
import { KeyButton, StateMark } from "astrolens-marks";
import { load as loadPicture, source } from "astrolens-pictures";
import { reset } from "astrolens-view";
import { ImageViewer, ViewBar } from "astrolens-viewer";
import { computed, defineComponent, onBeforeUnmount, ref, watch } from "vue";

/** @typedef {import("astrolens-types").ImageCard} ImageCard */
/** @typedef {import("astrolens-types").Answer} Answer */

/** The next page is fetched while there is still a while to look. */
const LOW = 12;
const WAITING = 3;
/** Pictures that are loaded and decoded before their turn: some more than are shown, for a burst of keys. */
const AHEAD = 8;
/** Who answers faster than this does not read numbers, and Python need not be asked for them. */
const READING_MS = 250;
/** What a finger says: the way to the right is the way to interest. */
const SWIPES = /** @type {Record<string, Answer>} */ ({ right: "interesting", left: "ordinary" });
/** What Python shows of an image on request, by key. */
const ASKS = { g: "similar", v: "object", o: "archives" };

export default defineComponent({
  components: { AnswerButtons, ImageViewer, KeyButton, StateMark, ViewBar },
  props: {
    path: { type: String, required: true },
    unanswered: Boolean,
    context: { type: String, default: "" },
    address: { type: String, required: true },
    answered: { type: Number, default: 0 },
    /** how many images the list has, in words: told until all of it was read, and counted here from then on */
    total: { type: String, default: "" },
    /** the image that the slot `details` describes, and that and what of `asked` */
    details: { type: String, default: "" },
    asked: { type: String, default: "" },
  },
  emits: ["look", "ask"],
  setup(props, { emit, expose }) {
    enter(props.address);
    const open = (/** @type {ImageCard} */ item) => answerOf(item) === null;
    const list = new ImageList(props.path, { page: 40, wanted: (item) => !props.unanswered || open(item) });
    const { state } = list;
    const at = ref(0);
    const shown = ref("");
    const root = ref(/** @type {HTMLElement | null} */ (null));
    let readingTimer = 0;

    const current = computed(() => state.items[at.value] ?? null);
    const following = () => state.items.slice(at.value + 1).filter(open);
    // On a slow line the first picture comes alone.
    const ahead = computed(() => (shown.value ? following().slice(0, AHEAD) : []));
    const waiting = computed(() => ahead.value.slice(0, WAITING));
    const left = computed(() => state.items.filter(open).length);

    /** Show an image, which may stand outside the list. @param {string} id */
    const show = async (id) => {
      const index = state.items.findIndex((item) => item.image_id === id);
      try {
        if (index >= 0) at.value = index;
        else state.items = state.items.toSpliced(at.value, 0, (await call(`/images/${encodeURIComponent(id)}`)).card);
      } catch (error) {
        toast(`That image cannot be shown. ${/** @type {Error} */ (error).message}`, true);
      }
    };
    const wanted = query().image;
    list.load().then(() => (wanted ? show(wanted) : undefined));
    /** A night goes on: a list that came to its end is read again, called from Python. */
    const refill = () => {
      if (!state.done || left.value >= LOW) return;
      state.done = false;
      list.next = "";
      list.load();
    };
    expose({ refill });

    // One that fails is reported when its turn comes.
    watch(ahead, (items) => items.map((item) => loadPicture(item.cutout_url)));
    watch(current, (item) => {
      clearTimeout(readingTimer);
      if (!item) return;
      keep({ image: item.image_id });
      readingTimer = window.setTimeout(() => emit("look", item.image_id), READING_MS);
    });
    // Its tags are still the item's, so that they can be put right.
    watch(
      () => answers.refused,
      (image) => image && show(image.image_id),
    );
    const to = (/** @type {number} */ index) => {
      at.value = index;
      reset();
    };
    const advance = () => {
      const after = state.items.findIndex((item, index) => index > at.value && open(item));
      const first = state.items.findIndex(open);
      to(after >= 0 ? after : first >= 0 ? first : state.items.length);
      if (left.value < LOW) list.load();
    };
    /** @param {Answer} value @param {string[]} [tags] */
    const answer = (value, tags) => {
      if (!current.value) return;
      // Never before the picture was seen.
      if (shown.value !== current.value.cutout_url) return toast("The picture is not shown yet.");
      give([current.value], value, tags);
      advance();
    };
    const later = () => {
      const item = current.value;
      if (!item) return;
      state.items = [...state.items.filter((one) => one !== item), item];
      to(Math.min(at.value, state.items.length - 1));
      if (!open(state.items[at.value])) advance();
    };
    /** @param {{image_id: string}[] | null} images of the step that was taken back */
    const back = (images) => images?.length && show(images[0].image_id);
    const step = (/** @type {number} */ by) => state.items[at.value + by] && to(at.value + by);
    const ask = (/** @type {string} */ name) => current.value && emit("ask", current.value.image_id, name);
    const copy = () => {
      const found = /** @type {HTMLElement | null} */ (root.value?.querySelector("[data-copy]"));
      if (current.value?.image_id !== props.details) toast("The position is not read yet.");
      else if (found) found.click();
      else toast("There is nothing to copy: this image came without a position.");
    };
    const href = computed(() => (current.value ? imageAddress(current.value.image_id, props.context) : ""));
    const undo = () => back(undoLast());
    bindKeys("Triage", [
      ["space", "Later: to the end of the list", later],
      ["ArrowRight j", "Next image", () => step(1)],
      ["ArrowLeft k", "Previous image", () => step(-1)],
      ["g", "Similar images", () => ask("similar")],
      ["v", "Other images of the object", () => ask("object")],
      ["o", "Archives", () => ask("archives")],
      // Where all are answered, no buttons are left that it belongs to.
      ["u", "Undo the last answer, many steps", undo, () => !current.value],
      ["c", "Copy the position; again for another form", copy],
      ["Enter", "Open the image", () => go(href.value), () => href.value],
    ]);
    onBeforeUnmount(() => {
      list.closed = true;
      clearTimeout(readingTimer);
    });
    const swipe = (/** @type {string} */ way) => answer(SWIPES[way]);
    const words = (/** @type {string | null} */ code) => (code ?? "–").replaceAll("_", " ");
    const seen = { ASKS, answers, current, href, left, many, nameOf, root, shown, source, state, waiting, words };
    return { ...seen, answer, ask, back, copy, later, swipe, undo };
  },
  template: `
    <div v-if="current" ref="root" class="triage">
      <section class="stage" aria-label="The image to answer for">
        <image-viewer :src="current.cutout_url" :arcsec="current.scale_arcsec" :label="'Cutout of ' + nameOf(current)" @shown="shown = $event" @swipe="swipe"/>
        <view-bar :address="$props.address"/>
      </section>
      <section class="triage-side" aria-label="What is known">
        <div class="title-line"><h2 class="name"><a :href="href">{{ nameOf(current) }}</a></h2><span v-if="current.simulated" class="tag sim static">simulated</span>
          <span v-if="current.object_images > 1" class="tag seen static num">{{ current.object_images }} images of one object</span></div>
        <p class="verdict-line"><state-mark :state="current.verdict"/>
          <span class="pfigure"><template v-if="current.p_value_words"><b class="num">{{ current.p_value_words.figure }}</b> <span class="muted num">{{ current.p_value_words.meaning }}</span><span v-if="current.p_value_words.calibration" class="tag static">{{ current.p_value_words.calibration }}</span></template><span v-else class="muted">not scored yet</span></span></p>
        <p class="muted">{{ words(current.class) }} · {{ current.survey }}</p>
        <answer-buttons :item="current" @answer="answer" @undone="back"><key-button k="space" label="later" @press="later"/></answer-buttons>
        <div class="details"><div v-show="details === current.image_id"><slot name="details"></slot></div></div>
        <div class="minor"><key-button v-for="(name, key) in ASKS" :key="key" :k="key" :label="name" :pressed="asked === current.image_id + ' ' + name" @press="ask(name)"/><key-button k="c" label="copy position" @press="copy"/></div>
        <div v-show="asked.startsWith(current.image_id)"><slot name="asked"></slot></div>
        <div v-show="!asked.startsWith(current.image_id)" class="waiting"><span class="muted full-width">{{ waiting.length ? 'Next' : (state.done && shown ? 'The last one' : 'Loading the next') }}</span><img v-for="item in waiting" :key="item.image_id" :src="source(item.cutout_url)" :alt="nameOf(item)" width="96" height="96"></div>
        <p class="muted num tally">{{ many(answers.count) }} answered here · {{ many(answered) }} in all · {{ state.done ? many(left) : total || many(left) + '+' }} waiting</p>
      </section>
    </div>
    <div v-else-if="state.problem" class="empty error" role="alert"><h2>The list cannot be read</h2><div class="empty-body">{{ state.problem }}</div></div>
    <div v-else-if="!state.done" class="triage" aria-hidden="true"><div class="stage"><div class="viewer skeleton"></div></div></div>
    <div v-else-if="answers.count" class="empty" role="status"><h2>All answered</h2><div class="empty-body">{{ many(answers.count) }} answered here. <key-button k="u" label="Undo the last" :disabled="!answers.undoable" @press="undo"/></div><slot name="more"></slot></div>
    <slot v-else></slot>`,
});
