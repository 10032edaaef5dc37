// The model in use: what it is, how good it was found, how it behaves on the live stream.

import { computed, onMounted, ref } from "vue";
import { CopyButton, EmptyState } from "astrolens/js/parts.js";
import { BASE, EChart, INK, axis } from "astrolens/js/chart.js";
import { FiguresTable } from "astrolens/js/figures.js";
import { count, figure, words } from "astrolens/js/format.js";
import { live, onLive } from "astrolens/js/live.js";
import { density, detectorTitle, quantile } from "astrolens/js/distribution.js";
import { useKeys } from "astrolens/js/keys.js";
import { href, route, setQuery } from "astrolens/js/router.js";
import { ReviewNotices, SurveysTable, useSurveys } from "astrolens/js/surveys.js";
import * as api from "astrolens/js/api.js";

/** Wilson's interval of a share at 95 %: honest for small counts, where the usual one is not. */
export function wilson(hits, total) {
  if (!total) return null;
  const z = 1.96;
  const p = hits / total;
  const middle = (p + (z * z) / (2 * total)) / (1 + (z * z) / total);
  const half = (z * Math.sqrt((p * (1 - p)) / total + (z * z) / (4 * total * total))) / (1 + (z * z) / total);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

const perThousand = (share) => (share * 1000).toFixed(share * 1000 < 10 ? 1 : 0);

export default {
  components: { CopyButton, EChart, EmptyState, FiguresTable, ReviewNotices, SurveysTable },
  setup() {
    const model = ref(null);
    const problem = ref("");
    const load = async () => {
      try {
        model.value = await api.get("/model");
        problem.value = "";
      } catch (error) {
        problem.value = error.message;
      }
    };
    onMounted(load);
    onLive("status", () => {
      const now = live.status.model;
      if (now?.state === "ready" && now.digest !== model.value?.digest) load();
    });
    const learned = useSurveys();
    const surveys = computed(() => Object.keys(model.value?.calibration?.surveys ?? {}).sort());
    const survey = computed(() => (surveys.value.includes(route.query.survey) ? route.query.survey : surveys.value[0]));
    const step = (by) => {
      const all = surveys.value;
      if (all.length) setQuery({ survey: all[(all.indexOf(survey.value) + by + all.length) % all.length] }, { replace: true });
    };
    useKeys("Model", [
      { key: ["ArrowRight", "j"], label: "Calibration of the next survey", run: () => step(1) },
      { key: ["ArrowLeft", "k"], label: "Calibration of the survey before", run: () => step(-1) },
    ]);
    const charts = computed(() => {
      const strips = model.value?.calibration?.surveys?.[survey.value]?.strips ?? {};
      return Object.entries(strips).map(([name, strip]) => {
        // The last per cent of a heavy tail would squeeze everything else.
        const bars = density(strip.probabilities, strip.scores, strip.scores[0], quantile(strip.probabilities, strip.scores, 0.99));
        const points = bars.flatMap((bar) => [[bar.from, bar.height], [bar.to, bar.height]]);
        return {
          name,
          options: {
            ...BASE,
            title: { text: detectorTitle(name), left: 0, top: 0, textStyle: { color: "#e3eaf1", fontSize: 13, fontWeight: 600 } },
            legend: undefined,
            tooltip: { ...BASE.tooltip, valueFormatter: (value) => figure(value) },
            xAxis: axis({ type: "value", scale: true, name: "score", nameLocation: "middle", nameGap: 24, splitNumber: 4, splitLine: { show: false } }),
            yAxis: axis({ type: "value", show: false }),
            grid: { ...BASE.grid, top: 28, bottom: 20 },
            series: [{ type: "line", name: "density", data: points, symbol: "none", lineStyle: { color: INK.accent, width: 1.5 }, areaStyle: { color: INK.accent, opacity: 0.18 } }],
          },
        };
      });
    });
    const flagged = computed(() => {
      const alpha = model.value?.alpha ?? live.status?.model?.alpha;
      return Object.entries(live.status?.surveys ?? {}).map(([name, verdicts]) => {
        const total = Object.values(verdicts).reduce((sum, n) => sum + n, 0);
        const hits = verdicts.anomaly ?? 0;
        return { name, total, hits, misses: verdicts.near_miss ?? 0, share: total ? hits / total : 0, interval: wilson(hits, total), alpha };
      }).sort((a, b) => b.total - a.total);
    });
    const flaggedChart = computed(() => {
      const rows = flagged.value.filter((row) => row.total);
      return {
        ...BASE,
        tooltip: { ...BASE.tooltip, axisPointer: { type: "shadow" }, valueFormatter: (value) => `${Number(value).toFixed(1)} per 1,000` },
        xAxis: axis({ type: "value", name: "flagged per 1,000 images", nameLocation: "middle", nameGap: 26 }),
        yAxis: axis({ type: "category", inverse: true, data: rows.map((row) => row.name), splitLine: { show: false } }),
        grid: { ...BASE.grid, bottom: 24 },
        series: [
          { name: "anomalies", type: "bar", stack: "flagged", barMaxWidth: 16, data: rows.map((row) => 1000 * row.share), itemStyle: { color: INK.anomaly },
            markLine: rows[0]?.alpha ? { silent: true, symbol: "none", data: [{ xAxis: 1000 * rows[0].alpha }], lineStyle: { color: INK.text, type: "dashed" }, label: { formatter: "budget", color: INK.text, position: "start" } } : undefined },
          { name: "near misses", type: "bar", stack: "flagged", data: rows.map((row) => (1000 * row.misses) / row.total), itemStyle: { color: INK.miss } },
        ],
      };
    });
    return { charts, count, detectorTitle, figure, flagged, flaggedChart, href, learned: learned.surveys, learnedProblem: learned.problem, live, model, perThousand, problem, reload: learned.load, setQuery, survey, surveys, words };
  },
  template: `
    <div class="section-head"><h1>Model</h1></div>
    <review-notices :surveys="learned"/>
    <empty-state v-if="problem && !model" title="No model answers" trouble><p>{{ problem }}</p><p>The model server loads a bundle when it starts; <a :href="href('/system')" data-app>System</a> shows how it is. <code>astrolens doctor</code> checks the bundle.</p></empty-state>
    <p v-else-if="!model" class="muted">Asking the model server.</p>
    <template v-else>
      <p v-if="problem" class="banner">{{ problem }} What is shown is what it said last.</p>
      <div class="columns">
        <section class="panel" aria-labelledby="bundle"><div class="section-head"><h2 id="bundle">{{ model.name }} <span class="muted num">{{ model.version }}</span></h2></div>
          <dl class="facts">
            <dt>Budget</dt><dd class="num">{{ perThousand(model.alpha) }} false alarms per 1,000 ordinary images: anomaly at <i>p</i> ≤ {{ figure(model.alpha) }}, near miss at <i>p</i> ≤ {{ figure(3 * model.alpha) }}</dd>
            <template v-for="(why, name) in model.limits ?? {}" :key="name"><dt>Too few</dt><dd class="trouble-text">{{ why }}</dd></template>
            <dt>Classes</dt><dd>{{ model.classes.map(words).join(', ') }}</dd>
            <dt>Detectors</dt><dd>{{ model.detectors.map(detectorTitle).join(', ') }}</dd>
            <dt>Runs on</dt><dd>{{ model.execution_provider }}</dd>
            <dt>Embedding</dt><dd class="num">{{ count(model.embedding_dim) }} numbers an image, {{ count(model.indexed_images) }} {{ model.indexed_images === 1 ? 'image' : 'images' }} in the similarity index</dd>
            <template v-if="model.training"><dt>Training</dt><dd>{{ model.training.detail }}</dd></template>
            <dt>Digest</dt><dd class="mono" :title="model.digest">{{ model.digest.slice(0, 16) }}… <copy-button :text="model.digest"/></dd>
            <dt>Calibration</dt><dd class="mono" :title="model.calibration_id">{{ model.calibration_id.slice(0, 24) }} <copy-button :text="model.calibration_id"/></dd>
            <dt>Preprocessing</dt><dd class="mono" :title="model.preprocessing_digest">{{ model.preprocessing_digest.slice(0, 16) }}… <copy-button :text="model.preprocessing_digest"/></dd>
          </dl>
        </section>
        <section class="panel" aria-labelledby="flagged"><div class="section-head"><h2 id="flagged">Flagged on the live stream</h2></div>
          <p v-if="!flagged.length" class="muted">Nothing is analysed yet.</p>
          <template v-else>
            <e-chart :options="flaggedChart" label="Share of images flagged, by survey, beside the budget" :height="70 + 30 * flagged.length"/>
            <div class="table-wrap"><table class="table"><thead><tr><th scope="col">Survey</th><th scope="col" class="right">Analysed</th><th scope="col" class="right">Anomalies</th><th scope="col" class="right">per 1,000</th><th scope="col" class="right">95 % interval</th></tr></thead>
              <tbody><tr v-for="row in flagged" :key="row.name"><th scope="row"><a :href="href('/gallery', { survey: row.name })" data-app>{{ row.name }}</a></th><td class="right num">{{ count(row.total) }}</td><td class="right num">{{ count(row.hits) }}</td><td class="right num">{{ perThousand(row.share) }}</td><td class="right num">{{ row.interval ? perThousand(row.interval[0]) + ' – ' + perThousand(row.interval[1]) : '–' }}</td></tr></tbody></table></div>
            <p class="muted">The budget counts false alarms among ordinary images. A survey far above it holds more strange images, or drifts away from its calibration.</p>
          </template>
        </section>
      </div>
      <section class="panel" aria-labelledby="surveys"><div class="section-head"><h2 id="surveys">Surveys</h2></div>
        <p v-if="learnedProblem && !learned" class="muted">{{ learnedProblem }}</p>
        <p v-else-if="!learned?.length" class="muted">No survey has analysed images yet.</p>
        <surveys-table v-else :surveys="learned" @changed="reload"/>
        <p class="muted">A survey that the bundle does not know, or whose images look otherwise than the bundle’s, raises no alert until a survey model was fitted on its own images.</p>
      </section>
      <section class="panel" aria-labelledby="calibration"><div class="section-head"><h2 id="calibration">Calibration</h2>
          <label class="inline">Survey <select :value="survey" @change="setQuery({ survey: $event.target.value }, { replace: true })"><option v-for="one in surveys" :key="one" :value="one">{{ one }}</option></select></label>
          <span v-if="survey" class="muted num">{{ count(model.calibration.surveys[survey].images) }} ordinary images</span></div>
        <p v-if="!surveys.length" class="muted">The model server tells no calibration.</p>
        <div class="chart-grid"><e-chart v-for="one in charts" :key="one.name" :options="one.options" :label="'Scores of ordinary images of ' + survey + ' by ' + detectorTitle(one.name)" :height="170"/></div>
      </section>
      <section class="panel" aria-labelledby="figures"><div class="section-head"><h2 id="figures">Figures on the test split</h2></div><figures-table :figures="model.figures"/></section>
      <section v-if="model.model_card" class="panel" aria-labelledby="card"><div class="section-head"><h2 id="card">Model card</h2></div><pre class="card-text" tabindex="0">{{ model.model_card }}</pre></section>
    </template>`,
};
