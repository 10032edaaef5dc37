// One large image, the next three waiting, one key an answer; see triage_deck.py.

import { address, enter, go, keep, query } from "astrolens-address";
import {
  ANSWERS,
  answerOf,
  answers,
  disputed,
  everybody,
  give,
  mineOf,
  nameOf,
  toast,
  undoLast,
} from "astrolens-answers";
import { BASE, get } from "astrolens-api";
import { copyNext } from "astrolens-copy";
import { bindKeys } from "astrolens-keys";
import { AnswerMark, KeyButton, VerdictMark } from "astrolens-marks";
import { load as loadPicture } from "astrolens-pictures";
import { reset, view } from "astrolens-view";
import { ImageViewer, ViewBar } from "astrolens-viewer";
import { computed, defineComponent, onBeforeUnmount, ref, shallowRef, watch } from "vue";

/** @typedef {import("astrolens-types").ImageCard} ImageCard */
/** @typedef {import("astrolens-types").Answer} Answer */
/** @typedef {import("astrolens-types").ImageDetail} ImageDetail */

const PAGE = 40;
/** The next page is fetched while there is still a while to look. */
const LOW = 12;
const WAITING = 3;
/** Who answers faster than this does not read numbers, and the console need not fetch them. */
const READING_MS = 250;
const RETRY_MS = 3000;
const SIMILAR = 8;
/** What a finger says: the way to the right is the way to interest. */
const SWIPES = /** @type {Record<string, Answer>} */ ({ right: "interesting", left: "ordinary" });

export default defineComponent({
  components: { AnswerMark, ImageViewer, KeyButton, VerdictMark, ViewBar },
  props: {
    query: { type: String, required: true },
    review: { type: String, default: "" },
    context: { type: String, default: "" },
    address: { type: String, required: true },
    answered: { type: Number, default: 0 },
    detectors: { type: /** @type {import("vue").PropType<Record<string, string>>} */ (Object), default: () => ({}) },
  },
  setup(props, { expose }) {
    enter(props.address);
    const queue = shallowRef(/** @type {ImageCard[]} */ ([]));
    const at = ref(0);
    const done = ref(false);
    const problem = ref("");
    const shown = ref("");
    const detail = shallowRef(/** @type {ImageDetail | null} */ (null));
    const similar = shallowRef(
      /** @type {{items: {image: ImageCard, cosine_similarity: number}[], problem: string} | null} */ (null),
    );
    const archives = ref(false);
    let next = "";
    let loading = false;
    let gone = false;
    let readingTimer = 0;

    const open = (/** @type {ImageCard} */ item) => answerOf(item) === null;
    const current = computed(() => queue.value[at.value] ?? null);
    const waiting = computed(() =>
      queue.value
        .slice(at.value + 1)
        .filter(open)
        .slice(0, WAITING),
    );
    const left = computed(() => queue.value.filter(open).length);
    const onlyOpen = props.review !== "" || new URLSearchParams(props.query).get("label") === "none";

    const load = async () => {
      if (loading || done.value || gone) return;
      loading = true;
      try {
        const given = new URLSearchParams(props.query);
        given.set("limit", String(PAGE));
        given.set("total", "false");
        if (next) given.set("after", next);
        const path = props.review ? `/surveys/${encodeURIComponent(props.review)}/strangest` : `/images?${given}`;
        const page = await get(path);
        const known = new Set(queue.value.map((item) => item.image_id));
        const fresh = page.items.filter(
          (/** @type {ImageCard} */ item) => !known.has(item.image_id) && (!onlyOpen || open(item)),
        );
        queue.value = [...queue.value, ...fresh];
        next = page.next ?? "";
        done.value = page.next === null;
        problem.value = "";
      } catch (error) {
        const failure = /** @type {import("astrolens-api").ApiError} */ (error);
        problem.value = failure.message;
        if (failure.transient) setTimeout(load, RETRY_MS);
      } finally {
        loading = false;
      }
    };
    /** Show an image, which may stand outside the list. @param {string} id */
    const show = async (id) => {
      const index = queue.value.findIndex((item) => item.image_id === id);
      if (index >= 0) {
        at.value = index;
        return;
      }
      try {
        const found = await get(`/images/${encodeURIComponent(id)}`);
        queue.value = queue.value.toSpliced(at.value, 0, found.card);
      } catch (error) {
        toast(`That image cannot be shown. ${/** @type {Error} */ (error).message}`, true);
      }
    };
    const begin = async () => {
      const wanted = query().image;
      await load();
      if (wanted) await show(wanted);
    };
    begin();
    /** A night goes on: a list that came to its end is read again, called from Python. */
    const refill = () => {
      if (!done.value || left.value >= LOW) return;
      done.value = false;
      next = "";
      load();
    };
    expose({ refill });

    watch(waiting, (items) => {
      // One that fails is told of when its turn comes.
      for (const item of items) loadPicture(item.cutout_url).catch(() => null);
    });
    const read = async () => {
      const id = current.value?.image_id;
      if (!id || detail.value?.image_id === id) return detail.value;
      const found = await get(`/images/${id}`);
      if (current.value?.image_id === id) detail.value = found;
      return /** @type {ImageDetail} */ (found);
    };
    // The numbers are no part of an answer; the header tells when the console is away.
    const readQuietly = () => read().catch(() => null);
    watch(current, (item) => {
      detail.value = null;
      similar.value = null;
      archives.value = false;
      clearTimeout(readingTimer);
      if (!item) return;
      keep({ image: item.image_id });
      readingTimer = window.setTimeout(readQuietly, READING_MS);
    });
    onBeforeUnmount(() => {
      gone = true;
      clearTimeout(readingTimer);
    });

    const to = (/** @type {number} */ index) => {
      at.value = index;
      // Each image is first shown as it came.
      if (JSON.stringify(view) !== asItCame) reset();
    };
    const asItCame = JSON.stringify({ stretch: "linear", pct: 100, invert: false, zoom: 1, cx: 0.5, cy: 0.5 });
    const advance = () => {
      const after = queue.value.findIndex((item, index) => index > at.value && open(item));
      const first = queue.value.findIndex(open);
      to(after >= 0 ? after : first >= 0 ? first : queue.value.length);
      if (left.value < LOW) load();
    };
    /** @param {Answer} value @param {KeyboardEvent} [event] */
    const answer = (value, event) => {
      // Never by a key that is held, nor before the picture was seen.
      if (!current.value || event?.repeat) return;
      if (shown.value !== current.value.cutout_url) {
        toast("The picture is not shown yet.");
        return;
      }
      give([current.value], value);
      advance();
    };
    const later = () => {
      const item = current.value;
      if (!item) return;
      queue.value = [...queue.value.filter((one) => one !== item), item];
      to(Math.min(at.value, queue.value.length - 1));
      if (!open(queue.value[at.value])) advance();
    };
    const undo = async () => {
      const step = undoLast();
      if (step) await show(step[0].image_id);
    };
    const step = (/** @type {number} */ by) => {
      if (queue.value[at.value + by]) to(at.value + by);
    };
    const showSimilar = async () => {
      const id = current.value?.image_id;
      if (similar.value || !id) {
        similar.value = null;
        return;
      }
      similar.value = { items: [], problem: "Looking." };
      try {
        const { items } = await get(`/images/${id}/similar?k=${SIMILAR}`);
        if (current.value?.image_id !== id || !similar.value) return;
        similar.value = { items, problem: items.length ? "" : "Nothing alike is known yet." };
      } catch (error) {
        if (similar.value) similar.value = { items: [], problem: /** @type {Error} */ (error).message };
      }
    };
    const copy = async () => {
      const forms = (await readQuietly())?.position_texts ?? [];
      if (forms.length) copyNext(forms);
      else toast("This image came without a position.");
    };
    const showArchives = async () => {
      await readQuietly();
      archives.value = !archives.value;
    };
    const link = (/** @type {ImageCard} */ item) =>
      address(`/image/${item.image_id}`, { ...Object.fromEntries(new URLSearchParams(props.context)), list: "triage" });
    onBeforeUnmount(
      bindKeys("Triage", [
        ...ANSWERS.map(({ key, value }) => ({
          keys: [key],
          label: `Answer ${value}`,
          run: (/** @type {KeyboardEvent} */ event) => answer(value, event),
        })),
        { keys: ["space"], label: "Later: to the end of the list", run: later },
        { keys: ["u"], label: "Undo the last answer, many steps", run: undo },
        { keys: ["ArrowRight", "j"], label: "Next image, no answer", run: () => step(1) },
        { keys: ["ArrowLeft", "k"], label: "Previous image", run: () => step(-1) },
        { keys: ["g"], label: "Show similar images", run: showSimilar },
        { keys: ["c"], label: "Copy the position; again for another form", run: copy },
        { keys: ["o"], label: "Open in the archives", run: showArchives },
        {
          keys: ["Enter"],
          label: "Open the image’s page",
          when: () => current.value,
          run: () => go(link(current.value)),
        },
      ]),
    );
    const detectors = computed(() => {
      const all = Object.entries(detail.value?.detector_budgets ?? {});
      return all
        .sort((a, b) => a[1].p_value - b[1].p_value)
        .map(([name, { words }]) => `${props.detectors[name] ?? name} ${words.figure}`);
    });
    const people = computed(() => {
      const said = current.value && disputed(current.value) ? Object.entries(everybody(current.value)) : [];
      return said.map(([person, value]) => `${person}: ${value}`).join(", ");
    });
    const swipe = (/** @type {string} */ way) => answer(SWIPES[way]);
    const words = (/** @type {string | null} */ code) => (code ?? "–").replaceAll("_", " ");
    const many = (/** @type {number} */ n) => n.toLocaleString("en-US");
    return {
      ...{
        ANSWERS,
        BASE,
        address,
        answer,
        answerOf,
        answers,
        archives,
        copy,
        current,
        detail,
        detectors,
        disputed,
        done,
      },
      ...{ later, left, link, many, mineOf, nameOf, people, problem, showArchives, showSimilar, shown, similar, swipe },
      ...{ undo, waiting, words },
    };
  },
  template: `
    <div v-if="current" class="triage">
      <section class="stage" aria-label="The image to answer for">
        <image-viewer :src="current.cutout_url" :arcsec="current.scale_arcsec" :label="'Cutout of ' + nameOf(current)" @shown="shown = $event" @swipe="swipe"/>
        <view-bar :address="$props.address"/>
      </section>
      <section class="triage-side" aria-label="What is known">
        <div class="title-line"><h2 class="name"><a :href="link(current)">{{ nameOf(current) }}</a></h2><span v-if="current.simulated" class="tag sim static">simulated</span></div>
        <p class="verdict-line"><verdict-mark :verdict="current.verdict"/>
          <span class="pfigure"><template v-if="current.p_value_words"><b class="num">{{ current.p_value_words.figure }}</b> <span class="muted num">{{ current.p_value_words.meaning }}</span><span v-if="current.p_value_words.calibration" class="tag static">{{ current.p_value_words.calibration }}</span></template><span v-else class="muted">not scored yet</span></span></p>
        <dl class="facts tight"><dt>Class</dt><dd>{{ words(current.class) }}</dd><dt>Survey</dt><dd>{{ current.survey }}</dd>
          <dt>Position</dt><dd class="num">{{ current.ra_deg == null ? 'not known' : (detail?.position_texts?.[1] ?? current.ra_deg.toFixed(4) + ' ' + current.dec_deg.toFixed(4)) }}</dd>
          <dt>Detectors</dt><dd class="why num"><span v-for="one in detectors" :key="one">{{ one }}</span><span v-if="!detectors.length" class="muted">–</span></dd>
          <dt>Answer</dt><dd><answer-mark v-if="answerOf(current)" :answer="answerOf(current)" :disputed="disputed(current)"/><span v-else class="muted">none yet</span> <span class="muted">{{ people }}</span></dd></dl>
        <div class="answers" role="group" aria-label="Your answer">
          <key-button v-for="one in ANSWERS" :key="one.value" class="answer-button" :k="one.key" :label="one.value" :pressed="mineOf(current) === one.value" @press="answer(one.value)"><answer-mark :answer="one.value"/></key-button>
          <key-button k="space" label="later" @press="later"/><key-button k="u" label="undo" :disabled="!answers.undoable" @press="undo"/>
        </div>
        <div class="minor"><key-button k="g" label="similar" :pressed="!!similar" @press="showSimilar"/><key-button k="c" label="copy position" @press="copy"/><key-button k="o" label="archives" :pressed="archives" @press="showArchives"/></div>
        <ul v-if="archives" class="links" aria-label="Archives"><li v-for="one in detail?.archive_links ?? []" :key="one.name"><a class="btn" :href="one.url" target="_blank" rel="noopener noreferrer">{{ one.name }} <span aria-hidden="true">↗</span></a></li><li v-if="!detail?.archive_links?.length" class="muted">The archives are searched by position, and this image came without one.</li></ul>
        <div v-if="similar" class="alike" aria-label="Similar images" role="group"><p v-if="similar.problem" class="muted" role="status">{{ similar.problem }}</p>
          <div class="row-of-thumbs"><a v-for="one in similar.items" :key="one.image.image_id" :href="address('/image/' + one.image.image_id)" :class="'ring-' + (one.image.verdict ?? 'none')"><img :src="BASE + one.image.cutout_url" :alt="nameOf(one.image)" width="96" height="96"><span class="num muted">{{ one.cosine_similarity.toFixed(3) }}</span></a></div></div>
        <div v-else class="waiting"><span class="muted">{{ waiting.length ? 'Next' : (done ? 'The last one' : 'Loading the next') }}</span><img v-for="item in waiting" :key="item.image_id" :src="BASE + item.cutout_url" :alt="nameOf(item)" width="96" height="96"></div>
        <p class="muted num tally">{{ many(answers.count) }} answered here · {{ many(answered) }} in all · {{ many(left) }}{{ done ? '' : '+' }} waiting</p>
      </section>
    </div>
    <div v-else-if="problem" class="empty trouble" role="alert"><h2>The list cannot be read</h2><div class="empty-body">{{ problem }}</div></div>
    <div v-else-if="!done" class="triage" aria-hidden="true"><div class="stage"><div class="viewer skeleton"></div></div></div>
    <div v-else-if="answers.count" class="empty" role="status"><h2>All answered</h2><div class="empty-body">{{ many(answers.count) }} answered here. <key-button k="u" label="Undo the last" :disabled="!answers.undoable" @press="undo"/></div><slot name="more"></slot></div>
    <slot v-else></slot>`,
});
