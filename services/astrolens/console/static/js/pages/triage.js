// Triage: one large image, the next three waiting, one key an answer.

import { computed, onBeforeUnmount, ref, watch } from "vue";
import { ANSWERS, AnswerMark, EmptyState, KeyButton, PFigure, VerdictMark, answerOf, nameOf, toast } from "astrolens/js/parts.js";
import { answers, give, undoLast } from "astrolens/js/answers.js";
import { ArchivesDialog, ViewBar, useCopyPosition, useView } from "astrolens/js/tools.js";
import { count, words } from "astrolens/js/format.js";
import { detectorTitle } from "astrolens/js/distribution.js";
import { FilterBar } from "astrolens/js/filters.js";
import { ImageViewer } from "astrolens/js/viewer.js";
import { live, onLive } from "astrolens/js/live.js";
import { useKeys } from "astrolens/js/keys.js";
import { go, href, route, setQuerySoon } from "astrolens/js/router.js";
import { FILTERS, findImages, findStrangest, imageOf, imageQuery } from "astrolens/js/shapes.js";
import { sexagesimal } from "astrolens/js/sky.js";
import * as api from "astrolens/js/api.js";

const PAGE = 40;
/** Fetch the next page while there is still a while to look. */
const LOW = 12;
const WAITING = 3;
/** Who answers faster than this does not read numbers, and the console need not fetch them. */
const WHY_MS = 250;

/** The queue's query: candidates without an answer, unless the address says otherwise. */
export function queueQuery(query) {
  const any = (value, fallback) => (value === "any" ? "" : (value ?? fallback));
  return imageQuery({ ...query, verdict: any(query.verdict, "anomaly,near_miss"), label: any(query.label, "none") });
}

export default {
  components: { AnswerMark, ArchivesDialog, EmptyState, FilterBar, ImageViewer, KeyButton, PFigure, VerdictMark, ViewBar },
  setup() {
    const queue = ref([]);
    const at = ref(0);
    const done = ref(false);
    const loading = ref(false);
    const problem = ref("");
    const alike = ref(null);
    const archives = ref(false);
    const why = ref([]);
    let whyTimer = null;
    const { view, update, actions, bindings } = useView();
    let next = null;
    let generation = 0;

    const key = computed(() => JSON.stringify([route.query.review, queueQuery(route.query)]));
    const current = computed(() => queue.value[at.value] ?? null);
    const open = (item) => answerOf(item) === null;
    const waiting = computed(() => queue.value.slice(at.value + 1).filter(open).slice(0, WAITING));
    const left = computed(() => queue.value.filter(open).length);

    const load = async () => {
      if (loading.value || done.value) return;
      const mine = generation;
      loading.value = true;
      try {
        const page = route.query.review ? await findStrangest(route.query.review) : await findImages({ ...queueQuery(route.query), limit: PAGE, after: next });
        if (mine !== generation) return;
        const known = new Set(queue.value.map((item) => item.image_id));
        queue.value = [...queue.value, ...page.items.filter((item) => !known.has(item.image_id) && (route.query.label || open(item)))];
        next = page.next;
        done.value = page.next === null;
        problem.value = "";
      } catch (error) {
        problem.value = error.message;
        if (error.transient) setTimeout(() => mine === generation && load(), 3000);
      } finally {
        loading.value = false;
        if (mine !== generation) load();
      }
    };
    const begin = async () => {
      generation += 1;
      const mine = generation;
      queue.value = [];
      at.value = 0;
      next = null;
      done.value = false;
      const wanted = route.query.image;
      await load();
      if (!wanted || mine !== generation) return;
      const index = queue.value.findIndex((item) => item.image_id === wanted);
      if (index >= 0) at.value = index;
      else {
        try {
          const detail = await api.get(`/images/${api.segment(wanted)}`);
          if (mine === generation) queue.value = [imageOf(detail.card), ...queue.value];
        } catch (error) {
          toast(`The image of this address cannot be shown. ${error.message}`, { trouble: true });
        }
      }
    };
    watch(key, begin, { immediate: true });
    // A night goes on: an empty list fills itself when the next candidate comes.
    let analyzed = null;
    onLive("status", () => {
      const now = live.status.books.analyzed;
      if (analyzed !== null && now !== analyzed && done.value && left.value < LOW) {
        done.value = false;
        next = null;
        load();
      }
      analyzed = now;
    });

    // Decoded before it is asked for: the next picture stands there in the frame after the key.
    const warm = new Map();
    watch(waiting, (items) => {
      for (const item of items) {
        if (warm.has(item.image_id)) continue;
        const image = new Image();
        image.src = api.readable(item.cutout);
        warm.set(item.image_id, image);
      }
      for (const id of [...warm.keys()].slice(0, -8)) warm.delete(id);
    });
    onBeforeUnmount(() => {
      generation += 1;
      clearTimeout(whyTimer);
      warm.clear();
    });
    watch(current, (item) => {
      alike.value = null;
      why.value = [];
      if (!item) return;
      setQuerySoon({ image: item.image_id });
      clearTimeout(whyTimer);
      whyTimer = setTimeout(() => explain(item.image_id), WHY_MS);
    });

    const explain = async (id) => {
      try {
        const detail = await api.get(`/images/${api.segment(id)}`);
        if (current.value?.image_id === id) why.value = Object.entries(detail.detector_budgets ?? {}).sort((a, b) => a[1].p_value - b[1].p_value);
      } catch (error) {
        // The answer does not depend on these numbers; the header tells when the console is away.
        if (!error.transient) toast(error.message, { trouble: true });
      }
    };
    const advance = () => {
      const after = queue.value.findIndex((item, index) => index > at.value && open(item));
      const first = queue.value.findIndex(open);
      if (after >= 0) at.value = after;
      else if (first >= 0) at.value = first;
      else at.value = queue.value.length;
      if (left.value < LOW) load();
      if (view.value.zoom !== 1) update({ ...view.value, zoom: 1, cx: 0.5, cy: 0.5 });
    };
    const answer = (value) => {
      if (!current.value) return;
      give([current.value], value);
      advance();
    };
    const later = () => {
      const item = current.value;
      if (!item) return;
      queue.value = [...queue.value.filter((one) => one !== item), item];
      at.value = Math.min(at.value, queue.value.length - 1);
      if (!open(queue.value[at.value])) advance();
    };
    const undo = () => {
      const step = undoLast();
      if (!step) {
        toast("Nothing to undo.");
        return;
      }
      const index = queue.value.findIndex((item) => item.image_id === step[0].image_id);
      if (index >= 0) at.value = index;
      toast(`Undone: ${step[0].name ?? step[0].image_id.slice(0, 12)} is ${step[0].before ?? "unanswered"} again.`);
    };
    const step = (by) => {
      const index = at.value + by;
      if (index >= 0 && index < queue.value.length) at.value = index;
    };
    const similar = async () => {
      if (alike.value) {
        alike.value = null;
        return;
      }
      const id = current.value?.image_id;
      if (!id) return;
      alike.value = { items: [], problem: "", loading: true };
      try {
        const found = await api.get(`/images/${id}/similar`, { k: 8 });
        if (current.value?.image_id !== id || !alike.value) return;
        const items = (found.items ?? []).map((one) => ({ ...imageOf(one.image), cosine: one.cosine_similarity }));
        alike.value = { items, problem: items.length ? "" : "Nothing alike is known yet.", loading: false };
      } catch (error) {
        if (alike.value) alike.value = { items: [], problem: error.message, loading: false };
      }
    };
    const copy = useCopyPosition(() => current.value);
    useKeys("Triage", [
      ...ANSWERS.map((one) => ({ key: one.key, label: `Answer ${one.word}`, run: () => answer(one.value) })),
      { key: "space", label: "Later: to the end of the list", run: later },
      { key: "u", label: "Undo the last answer, many steps", run: undo },
      { key: ["ArrowRight", "j"], label: "Next image, no answer", run: () => step(1) },
      { key: ["ArrowLeft", "k"], label: "Previous image", run: () => step(-1) },
      ...bindings,
      { key: "g", label: "Show similar images", run: similar },
      { key: "c", label: "Copy the position; again for another form", run: copy },
      { key: "o", label: "Open in the archives", when: () => current.value, run: () => { archives.value = true; } },
      { key: "Enter", label: "Open the image’s page", when: () => current.value, run: () => go(href(`/image/${current.value.image_id}`)) },
    ]);
    const answered = computed(() => Object.entries(live.status?.labels ?? {}).reduce((sum, [name, n]) => sum + (name === "none" ? 0 : n), 0));
    const filtered = computed(() => FILTERS.some((name) => route.query[name]));
    return { ANSWERS, actions, alike, answer, answerOf, answered, answers, archives, at, copy, count, current, detectorTitle, done, filtered, href, later, left, live, loading, nameOf, problem, route, sexagesimal, similar, undo, update, view, waiting, why, words };
  },
  template: `
    <h1 class="visually-hidden">Triage</h1>
    <p v-if="route.query.review" class="banner quiet">The strangest images that the survey model of <b>{{ route.query.review }}</b> was fitted on. What you call interesting or an artefact is left out when it is fitted again, two minutes after your last answer. <a :href="href('/triage')" data-app>To the candidates</a></p>
    <filter-bar v-else triage/>
    <div v-if="current" class="triage">
      <section class="stage" aria-label="The image to answer for">
        <image-viewer :src="current.cutout" :view="view" :arcsec="current.arcsec" :label="nameOf(current)" @update="update"/>
        <view-bar :view="view" :actions="actions"/>
      </section>
      <section class="triage-side" aria-label="What is known">
        <div class="title-line"><h2 class="name"><a :href="href('/image/' + current.image_id)" data-app>{{ nameOf(current) }}</a></h2><span v-if="current.simulated" class="tag sim static">simulated</span></div>
        <p class="verdict-line"><verdict-mark :verdict="current.verdict" :state="current.state"/> <p-figure :said="current.p_value_words"/></p>
        <dl class="facts tight"><dt>Class</dt><dd>{{ words(current.predicted_class ?? '–') }}</dd><dt>Survey</dt><dd>{{ current.survey }}</dd>
          <dt>Position</dt><dd class="num"><template v-if="current.ra_deg != null">{{ sexagesimal(current.ra_deg, current.dec_deg) }}</template><span v-else class="muted">not known</span></dd>
          <dt>Detectors</dt><dd class="why num"><template v-if="why.length"><span v-for="[name, one] in why" :key="name">{{ detectorTitle(name) }} {{ one.words.figure }}</span></template><span v-else class="muted">–</span></dd>
          <dt>Answer</dt><dd><answer-mark v-if="answerOf(current)" :answer="answerOf(current)"/><span v-else class="muted">none yet</span></dd></dl>
        <div class="answers" role="group" aria-label="Your answer">
          <key-button v-for="one in ANSWERS" :key="one.value" class="answer-button" :k="one.key" :label="one.word" :pressed="answerOf(current) === one.value" @press="answer(one.value)"><answer-mark :answer="one.value"/></key-button>
          <key-button k="space" label="later" @press="later"/>
          <key-button k="u" label="undo" :disabled="!answers.undoable" @press="undo"/>
        </div>
        <div class="minor"><key-button k="g" label="similar" :pressed="!!alike" @press="similar"/><key-button k="c" label="copy position" @press="copy"/><key-button k="o" label="archives" @press="archives = true"/></div>
        <div class="waiting" aria-label="The next ones">
          <span class="muted">{{ waiting.length ? 'Next' : (done ? 'The last one' : 'Loading the next') }}</span>
          <img v-for="item in waiting" :key="item.image_id" :src="item.cutout" :alt="nameOf(item)" width="96" height="96">
        </div>
        <p class="muted num tally">{{ count(answers.given) }} answered here · {{ count(answered) }} in all · {{ count(left) }}{{ done ? '' : '+' }} waiting</p>
      </section>
      <section v-if="alike" class="panel alike" aria-label="Similar images" aria-live="polite">
        <div class="section-head"><h2>Similar</h2></div>
        <p v-if="alike.loading" class="muted">Looking.</p><p v-if="alike.problem" class="muted">{{ alike.problem }}</p>
        <div class="row-of-thumbs"><a v-for="item in alike.items" :key="item.image_id" :href="href('/image/' + item.image_id)" data-app :class="'ring-' + (item.verdict ?? 'none')"><img :src="item.cutout" :alt="nameOf(item)" width="96" height="96"><span class="num muted">{{ item.cosine.toFixed(3) }}</span><verdict-mark class="corner" :verdict="item.verdict" bare/></a></div>
      </section>
    </div>
    <empty-state v-else-if="problem" title="The list cannot be read" trouble>{{ problem }}</empty-state>
    <div v-else-if="!done" class="triage" aria-hidden="true"><div class="stage"><div class="viewer skeleton"></div></div></div>
    <empty-state v-else :title="answers.given ? 'All answered' : (filtered ? 'Nothing waits behind these filters' : 'No candidate waits for an answer')">
      <p v-if="answers.given">{{ count(answers.given) }} answered here. <button type="button" class="btn" :disabled="!answers.undoable" @click="undo">Undo the last <kbd aria-hidden="true">u</kbd></button></p>
      <p v-else-if="!filtered">Candidates are images whose verdict is anomaly or near miss. They appear here by themselves as they come.</p>
      <p class="choices"><a class="btn" :href="href('/triage', { verdict: 'any' })" data-app>Triage every verdict</a> <a v-if="filtered" class="btn" :href="href('/triage')" data-app>Clear the filters</a> <a class="btn" :href="href('/gallery', { label: 'interesting', sort: 'labeled' })" data-app>See what was interesting</a></p>
    </empty-state>
    <archives-dialog v-if="archives && current" :item="current" @close="archives = false"/>`,
};
