// One image: what it looks like, why it was judged so, where it came from.

import { computed, onBeforeUnmount, ref, watch } from "vue";
import { ANSWERS, AnswerMark, CopyButton, EmptyState, KeyButton, PFigure, TimeAgo, VerdictMark, answerOf, nameOf, toast } from "astrolens/js/parts.js";
import { answers, give, undoLast } from "astrolens/js/answers.js";
import { ArchiveLinks, ArchivesDialog, PositionFacts, ViewBar, useCopyPosition, useView } from "astrolens/js/tools.js";
import { bytes, words } from "astrolens/js/format.js";
import { ImageViewer } from "astrolens/js/viewer.js";
import { live, onLive } from "astrolens/js/live.js";
import { MorphologyTable } from "astrolens/js/morphology.js";
import { NeighbourRow } from "astrolens/js/neighbours.js";
import { StripPlot } from "astrolens/js/strips.js";
import { quantile } from "astrolens/js/distribution.js";
import { useKeys } from "astrolens/js/keys.js";
import { go, href } from "astrolens/js/router.js";
import { imageOf } from "astrolens/js/shapes.js";
import * as api from "astrolens/js/api.js";

/** Surveys whose own cutout service turns every picture north up, east left. */
const NORTH_UP_SOURCES = new Set(["sdss"]);

/** Milliseconds between two looks for a candidate's morphology, which may take minutes to come. */
const MORPHOLOGY_MS = 5000;

export default {
  components: { AnswerMark, ArchiveLinks, ArchivesDialog, CopyButton, EmptyState, ImageViewer, KeyButton, MorphologyTable, NeighbourRow, PFigure, PositionFacts, StripPlot, TimeAgo, VerdictMark, ViewBar },
  props: { id: { type: String, required: true } },
  setup(props) {
    const detail = ref(null);
    const problem = ref(null);
    const model = ref(null);
    const modelProblem = ref("");
    const similar = ref(null);
    const archives = ref(false);
    const { view, update, actions, bindings } = useView();
    let pending = null;
    let retry = null;
    let askedAt = 0;

    const load = async ({ quiet = false } = {}) => {
      askedAt = Date.now();
      pending?.abort();
      clearTimeout(retry);
      pending = new AbortController();
      if (!quiet) {
        detail.value = null;
        similar.value = null;
      }
      try {
        detail.value = await api.get(`/images/${api.segment(props.id)}`, {}, { signal: pending.signal });
        problem.value = null;
        document.title = `${nameOf(imageOf(detail.value.card))} · AstroLens`;
        // This load may have cut off the rest of the one before.
        if (!quiet || similar.value === null) loadRest();
      } catch (error) {
        if (error.name === "AbortError") return;
        problem.value = error;
        if (error.transient) retry = setTimeout(load, 3000);
      }
    };
    const loadRest = async () => {
      const signal = pending.signal;
      const [one, two] = await Promise.allSettled([api.get("/model", {}, { signal }), api.get(`/images/${api.segment(props.id)}/similar`, { k: 12 }, { signal })]);
      if (signal.aborted) return;
      if (one.status === "fulfilled") model.value = one.value;
      else modelProblem.value = one.reason.message;
      if (two.status === "fulfilled") {
        const items = (two.value.items ?? []).map((entry) => ({ ...imageOf(entry.image), cosine: entry.cosine_similarity }));
        similar.value = { items, problem: items.length ? "" : "The similarity index knows no other image yet." };
      } else similar.value = { items: [], problem: two.reason.message };
    };
    watch(() => props.id, () => load(), { immediate: true });
    onBeforeUnmount(() => {
      pending?.abort();
      clearTimeout(retry);
    });
    // An image on its way gets its verdict under the reader's eyes, and a candidate its morphology.
    onLive("status", () => {
      if (!detail.value) return;
      const measuredLater = waitsForMorphology.value && !record.value.morphology && Date.now() - askedAt >= MORPHOLOGY_MS;
      if (item.value.state === "ingested" || measuredLater) load({ quiet: true });
    });

    const item = computed(() => (detail.value ? imageOf(detail.value.card) : null));
    const record = computed(() => detail.value ?? {});
    const observation = computed(() => record.value.observation ?? {});
    const analysis = computed(() => record.value.analysis ?? null);
    const calibration = computed(() => {
      const all = model.value?.calibration;
      // A survey model’s distributions are its own; those of the bundle would be another measure.
      if (!all || !analysis.value || analysis.value.calibration_fit === "survey-model") return null;
      return all.surveys?.[analysis.value.calibration_survey] ?? null;
    });
    const stale = computed(() => (model.value && analysis.value && model.value.digest && model.value.digest !== analysis.value.model_digest ? "It was judged by an earlier model; the strips are those of the present one." : ""));
    const strips = computed(() => {
      if (!analysis.value) return [];
      const of = (name) => calibration.value?.strips?.[name] ?? null;
      const combined = of("combined");
      // The record keeps the combined p, not its statistic: the place of p on the calibration is the same thing.
      const at = combined ? quantile(combined.probabilities, combined.scores, 1 - analysis.value.p_value) : null;
      return [
        { name: "combined", score: at, placed: true, p: analysis.value.p_value, said: record.value.budget.words, strip: combined },
        ...Object.entries(analysis.value.detectors ?? {}).map(([name, result]) => ({ name, score: result.score, p: result.p_value, said: record.value.detector_budgets[name].words, strip: of(name) })),
      ];
    });
    const classes = computed(() => Object.entries(analysis.value?.class_probabilities ?? {}).sort((a, b) => b[1] - a[1]));
    const kinds = computed(() => record.value.kinds ?? []);
    const measured = computed(() => (record.value.provenance ?? []).find((step) => step.step === "calibration")?.detail ?? "");
    const history = computed(() => [...(record.value.labels ?? [])].reverse());
    const waitsForMorphology = computed(() => item.value?.state === "analyzed" && ["anomaly", "near_miss"].includes(item.value.verdict));
    const near = computed(() => record.value.near_duplicates ?? []);
    const northUp = computed(() => NORTH_UP_SOURCES.has(record.value.source));
    const extra = computed(() => Object.entries(observation.value.extra ?? {}));

    const answer = (value) => {
      if (!item.value) return;
      give([item.value], value);
      toast(`${nameOf(item.value)}: ${value}. Undo with u.`);
    };
    const undo = () => {
      const step = undoLast();
      toast(step ? `Undone: ${step[0].name ?? step[0].image_id.slice(0, 12)} is ${step[0].before ?? "unanswered"} again.` : "Nothing to undo.");
    };
    const again = async () => {
      try {
        await api.post(`/analyze/${api.segment(props.id)}`);
        toast("On its way to the model again.");
        load({ quiet: true });
      } catch (error) {
        toast(error.message, { trouble: true });
      }
    };
    const copy = useCopyPosition(() => item.value);
    const original = () => window.open(api.url(`/images/${api.segment(props.id)}/original`), "_blank", "noopener");
    const compare = () => {
      const first = similar.value?.items[0];
      if (first) go(href("/compare", { ids: [props.id, ...similar.value.items.slice(0, 3).map((one) => one.image_id)].join(",") }));
      else toast("Nothing similar is known yet to compare with.");
    };
    useKeys("Image", [
      ...ANSWERS.map((one) => ({ key: one.key, label: `Answer ${one.word}`, run: () => answer(one.value) })),
      { key: "u", label: "Undo the last answer, many steps", run: undo },
      ...bindings,
      { key: "g", label: "To the similar images", run: () => document.getElementById("similar")?.scrollIntoView({ block: "start" }) },
      { key: "m", label: "Compare with the most similar", run: compare },
      { key: "c", label: "Copy the position; again for another form", run: copy },
      { key: "o", label: "Open in the archives", when: () => item.value, run: () => { archives.value = true; } },
      { key: "f", label: "Fetch the original file", run: original },
      { key: "e", label: "Analyse again", run: again },
    ]);
    return { ANSWERS, actions, again, alert: computed(() => detail.value?.alert_id), analysis, answer, answerOf, answers, api, archives, bytes, calibration, classes, compare, copy, detail, extra, history, href, item, kinds, live, load, measured, model, modelProblem, nameOf, near, northUp, observation, original, problem, record, similar, stale, strips, undo, update, view, waitsForMorphology, words };
  },
  template: `
    <empty-state v-if="problem && problem.status === 404" title="There is no such image"><p>No image has the id <code>{{ id }}</code>. Search with <kbd>/</kbd>, or look through the <a :href="href('/gallery')" data-app>gallery</a>.</p></empty-state>
    <empty-state v-else-if="problem && !detail" title="The image cannot be read" trouble>{{ problem.message }} {{ problem.transient ? 'Trying again.' : '' }}</empty-state>
    <div v-else-if="!item" class="image-page" aria-hidden="true"><div class="stage"><div class="viewer skeleton"></div></div></div>
    <article v-else class="image-page">
      <section class="stage" aria-label="The picture">
        <image-viewer :src="item.cutout" :view="view" :arcsec="item.arcsec" :north-up="northUp" :label="'Cutout of ' + nameOf(item)" @update="update"/>
        <view-bar :view="view" :actions="actions"/>
      </section>
      <div class="image-side">
        <header class="image-head">
          <div class="title-line"><h1 class="name">{{ nameOf(item) }}</h1><span v-if="item.simulated" class="tag sim static">simulated</span><span v-if="item.injected" class="tag inj static" title="A blind injection: kept out of every public topic">injected</span></div>
          <p class="verdict-line"><verdict-mark :verdict="item.verdict" :state="item.state"/> <p-figure :said="item.p_value_words"/></p>
          <p v-if="item.state === 'ingested'" class="muted">It waits for its analysis; the verdict appears here by itself.</p>
          <p v-if="record.reason" class="reason trouble-text">{{ record.reason.detail }}</p>
          <div class="answers" role="group" aria-label="Your answer">
            <key-button v-for="one in ANSWERS" :key="one.value" class="answer-button" :k="one.key" :label="one.word" :pressed="answerOf(item) === one.value" @press="answer(one.value)"><answer-mark :answer="one.value"/></key-button>
            <key-button k="u" label="undo" :disabled="!answers.undoable" @press="undo"/>
          </div>
        </header>
        <section class="panel" aria-labelledby="why"><div class="section-head"><h2 id="why">Why</h2><span v-if="analysis" class="muted">calibration: {{ measured }}</span></div>
          <p v-if="record.alert_hold" class="banner quiet">An anomaly, but {{ record.alert_hold }}.</p>
          <p v-else-if="analysis?.calibration_fit === 'does-not-fit'" class="trouble-text">The images of {{ item.survey }} do not look like those that the model was calibrated on: this verdict is a ranking, not a false-alarm rate.</p>
          <p v-if="!analysis" class="muted">No model has judged it yet.</p>
          <p v-if="modelProblem && analysis" class="muted">The calibration’s distributions are not drawn: {{ modelProblem }}</p>
          <p v-if="stale" class="muted">{{ stale }}</p>
          <p v-if="calibration" class="muted strip-note">Dashed lines: where near misses and anomalies begin.</p>
          <strip-plot v-for="one in strips" :key="one.name" v-bind="one" :alpha="model?.alpha ?? model?.calibration?.alpha ?? null"/>
          <div v-if="kinds.length" class="classes"><h3>Kind of strangeness</h3>
            <div v-for="one in kinds" :key="one.kind" class="class-row"><span>{{ words(one.kind).replaceAll('-', ' ') }}</span><span class="bar" aria-hidden="true"><i :style="{ width: (one.probability * 100).toFixed(1) + '%' }"></i></span><span class="num right">{{ (one.probability * 100).toFixed(1) }} %</span></div>
          </div>
          <div v-if="classes.length" class="classes"><h3>Class</h3>
            <div v-for="[name, share] in classes" :key="name" class="class-row"><span>{{ words(name) }}</span><span class="bar" aria-hidden="true"><i :style="{ width: (share * 100).toFixed(1) + '%' }"></i></span><span class="num right">{{ (share * 100).toFixed(1) }} %</span></div>
          </div>
        </section>
        <section v-if="record.morphology || waitsForMorphology" class="panel" aria-labelledby="morphology"><div class="section-head"><h2 id="morphology">Morphology</h2></div>
          <morphology-table v-if="record.morphology" :morphology="record.morphology" :arcsec="item.arcsec"/>
          <p v-else class="muted">Candidates are measured one after the other; this one waits for its turn.</p>
        </section>
        <section class="panel" aria-labelledby="where"><div class="section-head"><h2 id="where">Where</h2></div>
          <dl class="facts"><position-facts :ra="item.ra_deg" :dec="item.dec_deg"/><template v-if="item.arcsec"><dt>Scale</dt><dd class="num">{{ item.arcsec.toFixed(3) }} ″ a cutout pixel, {{ (item.arcsec * item.width).toFixed(1) }}″ × {{ (item.arcsec * item.height).toFixed(1) }}″ in all</dd></template>
            <dt>Survey</dt><dd><a :href="href('/gallery', { survey: item.survey })" data-app>{{ item.survey }}</a><span v-if="observation.bands?.length" class="muted"> bands {{ observation.bands.join(' ') }}</span></dd>
            <template v-if="observation.observed_at"><dt>Observed</dt><dd><time-ago :at="observation.observed_at"/></dd></template>
            <template v-if="observation.credit"><dt>Credit</dt><dd>{{ observation.credit }}</dd></template>
            <template v-for="[name, value] in extra" :key="name"><dt>{{ words(name) }}</dt><dd class="num">{{ value }}</dd></template></dl>
          <archive-links :item="item"/>
        </section>
      </div>
      <div class="image-more">
        <section id="similar" class="panel" aria-labelledby="alike"><div class="section-head"><h2 id="alike">Most similar</h2><key-button v-if="similar?.items.length" k="m" label="compare" @press="compare"/></div>
          <p v-if="!similar" class="muted">Looking.</p><p v-else-if="similar.problem" class="muted">{{ similar.problem }}</p>
          <neighbour-row v-else :items="similar.items" :id="id"/>
          <p v-if="near.length" class="muted">Near-duplicates, linked by perceptual hash: <template v-for="(one, index) in near" :key="one.image_id"><template v-if="index">, </template><a class="mono" :href="href('/image/' + one.image_id)" data-app>{{ one.image_id.slice(0, 12) }}</a> <span class="num">({{ one.distance }} of 64 bits differ)</span></template></p>
        </section>
        <section class="panel" aria-labelledby="history"><div class="section-head"><h2 id="history">Answers and alerts</h2></div>
          <p v-if="!history.length && !alert" class="muted">Nobody has answered, and no alert was raised.</p>
          <ol class="timeline"><li v-for="one in history" :key="one.label_id"><time-ago :at="one.recorded_at"/> <answer-mark v-if="one.answer" :answer="one.answer"/><span v-else>taken back</span> <span class="muted">by {{ one.user }}</span><span v-if="one.note" class="reason">{{ one.note }}</span></li></ol>
          <p v-if="alert">Alert <span class="mono">{{ alert.slice(0, 12) }}</span> <copy-button :text="alert"/></p>
        </section>
        <section class="panel" aria-labelledby="provenance"><div class="section-head"><h2 id="provenance">Provenance</h2><key-button k="f" label="original file" @press="original"/><key-button k="e" label="analyse again" @press="again"/></div>
          <ol class="chain"><li v-for="(step, index) in detail.provenance ?? []" :key="index"><b>{{ step.step }}</b><span class="chain-id"><code :title="step.id">{{ step.id.length > 20 ? step.id.slice(0, 16) + '…' : step.id }}</code><copy-button v-if="step.id.length > 12" :text="step.id" :label="'copy'"/></span><span class="muted">{{ step.detail }}<template v-if="step.at"> · <time-ago :at="step.at"/></template></span></li></ol>
        </section>
      </div>
    </article>
    <archives-dialog v-if="archives && item" :item="item" @close="archives = false"/>`,
};
