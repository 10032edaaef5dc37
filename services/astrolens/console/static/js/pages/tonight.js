// Tonight: the strangest new images first, then the books, the sources, the model.

import { computed, onMounted, ref } from "vue";
import { AnswerMark, EmptyState, PFigure, Sparkline, TimeAgo, VerdictMark, answerOf, nameOf } from "astrolens/js/parts.js";
import { BooksFlow } from "astrolens/js/flow.js";
import { SourcesTable } from "astrolens/js/sources.js";
import { count, duration, words } from "astrolens/js/format.js";
import { live, onLive } from "astrolens/js/live.js";
import { useKeys } from "astrolens/js/keys.js";
import { go, href } from "astrolens/js/router.js";
import { ReviewNotices, useSurveys } from "astrolens/js/surveys.js";
import { findImages } from "astrolens/js/shapes.js";

/** A night, whatever the longitude. */
const NIGHT_MS = 24 * 3600e3;
const SHOWN = 12;
/** Latency is told from the newest images, and not more often than anyone looks. */
const LATENCY_IMAGES = 60;
const LATENCY_EVERY_MS = 5000;

export default {
  components: { AnswerMark, BooksFlow, EmptyState, PFigure, ReviewNotices, SourcesTable, Sparkline, TimeAgo, VerdictMark },
  setup() {
    const { surveys } = useSurveys();
    const strangest = ref(null);
    const fresh = ref(true);
    const problem = ref("");
    const strip = ref(null);
    const cursor = ref(0);
    let loading = false;
    let again = false;

    const load = async () => {
      if (loading) {
        again = true;
        return;
      }
      loading = true;
      try {
        // Whole minutes: the same address for a while is the same answer from the cache.
        const since = new Date(Math.floor((Date.now() - NIGHT_MS) / 60e3) * 60e3).toISOString();
        let page = await findImages({ sort: "strangeness", since, limit: SHOWN });
        fresh.value = page.items.length > 0;
        if (!fresh.value) page = await findImages({ sort: "strangeness", limit: SHOWN });
        strangest.value = page.items;
        problem.value = "";
      } catch (error) {
        problem.value = error.message;
      } finally {
        loading = false;
        if (again) {
          again = false;
          setTimeout(load, 500);
        }
      }
    };
    onMounted(() => {
      load();
      measure();
    });
    let analyzed = -1;
    onLive("status", () => {
      const now = live.status?.books.analyzed ?? -1;
      if (now !== analyzed) {
        load();
        measure();
      }
      analyzed = now;
    });
    onLive("reconnect", load);

    const rates = computed(() => {
      const points = live.history;
      return points.slice(1).map((point, i) => {
        const seconds = (point.at - points[i].at) / 1000;
        return seconds > 0 ? Math.max(0, (point.analyzed - points[i].analyzed) / seconds) : 0;
      });
    });
    const rate = computed(() => {
      const points = live.history;
      if (points.length < 2) return null;
      const first = points.findLast((point) => points.at(-1).at - point.at > 10_000) ?? points[0];
      const seconds = (points.at(-1).at - first.at) / 1000;
      return seconds > 0 ? Math.max(0, points.at(-1).analyzed - first.analyzed) / seconds : null;
    });
    const rateText = computed(() => (rate.value === null ? "measuring" : `${rate.value >= 10 ? Math.round(rate.value) : rate.value.toFixed(1)} images/s`));
    const pressure = computed(() => {
      if (!rate.value || !live.status) return null;
      return live.status.books.in_flight / rate.value;
    });
    const latencies = ref([]);
    let measuredAt = 0;
    const measure = async () => {
      if (Date.now() - measuredAt < LATENCY_EVERY_MS) return;
      measuredAt = Date.now();
      try {
        const newest = await findImages({ sort: "newest", limit: LATENCY_IMAGES });
        latencies.value = newest.items.filter((item) => item.analyzed_at).map((item) => (Date.parse(item.analyzed_at) - Date.parse(item.ingested_at)) / 1000).filter((s) => s >= 0).reverse();
      } catch (error) {
        // The next status asks again; until then the last figures stand.
        console.warn("astrolens: latency not known", error);
      }
    };
    const latency = computed(() => {
      const sorted = [...latencies.value].sort((a, b) => a - b);
      if (!sorted.length) return null;
      return { half: sorted[Math.floor(sorted.length / 2)], worst: sorted.at(-1) };
    });
    const inFlight = computed(() => (live.status ? live.history.map((point) => point.inFlight) : []));
    const services = computed(() => live.status?.services ?? []);
    const down = computed(() => services.value.filter((one) => ["silent", "stopped", "degraded"].includes(one.state)));

    const focus = (index) => {
      const all = strip.value?.querySelectorAll("a.hero") ?? [];
      if (!all.length) return;
      cursor.value = Math.max(0, Math.min(all.length - 1, index));
      all[cursor.value].focus();
    };
    useKeys("Tonight", [
      { key: ["ArrowRight", "j"], label: "Next strange image", run: () => focus(document.activeElement?.classList.contains("hero") ? cursor.value + 1 : 0) },
      { key: ["ArrowLeft", "k"], label: "Previous strange image", run: () => focus(cursor.value - 1) },
      { key: "t", label: "Triage the candidates", run: () => go(href("/triage")) },
    ]);
    return { answerOf, count, cursor, down, duration, fresh, href, inFlight, latencies, latency, live, nameOf, pressure, problem, rateText, rates, services, strangest, strip, surveys, words };
  },
  template: `
    <h1 class="visually-hidden">Tonight</h1>
    <review-notices :surveys="surveys"/>
    <section class="heroes" aria-labelledby="strangest">
      <div class="section-head"><h2 id="strangest">{{ fresh ? 'Strangest tonight' : 'Strangest so far' }}</h2>
        <span v-if="strangest?.length && !fresh" class="muted">nothing new in the last 24 hours</span><span v-else-if="strangest?.length && strangest[0].verdict === 'ordinary'" class="muted">no candidate among them yet</span>
        <a v-if="strangest?.length" class="btn primary" :href="href('/triage')" data-app title="Triage (t)">Triage <kbd aria-hidden="true">t</kbd></a></div>
      <empty-state v-if="problem && !strangest" title="The strangest images cannot be read" trouble>{{ problem }} This page tries again by itself.</empty-state>
      <div v-else-if="strangest === null" class="strip" aria-hidden="true"><div v-for="n in 6" :key="n" class="hero skeleton"></div></div>
      <empty-state v-else-if="!strangest.length" title="No image has a verdict yet">
        <p v-if="live.status?.books.in_flight">{{ count(live.status.books.in_flight) }} on the way: the first verdicts appear here as they come.</p>
        <p v-else>Images come from a source (see below) or from you: <code>astrolens ingest PATH</code> feeds a file or a folder. To watch the simulated sky, start with <code>astrolens up --sources simulated</code>.</p>
      </empty-state>
      <div v-else ref="strip" class="strip">
        <a v-for="(item, index) in strangest" :key="item.image_id" class="hero" :class="'ring-' + (item.verdict ?? 'none')" :href="href('/image/' + item.image_id)" data-app @focus="cursor = index">
          <img :src="item.cutout" :alt="nameOf(item)" width="256" height="256" decoding="async">
          <span v-if="item.simulated" class="tag sim" title="Simulated sky">sim</span>
          <answer-mark v-if="answerOf(item)" class="corner answer-corner" :answer="answerOf(item)" bare/>
          <span class="hero-text"><span class="hero-line"><verdict-mark :verdict="item.verdict" :state="item.state"/><b class="num">{{ item.p_value_words.figure }}</b></span>
            <span class="num muted">{{ item.p_value_words.meaning }}</span><span v-if="item.p_value_words.calibration" class="muted">{{ item.p_value_words.calibration }}</span>
            <span class="name">{{ nameOf(item) }}</span><span class="muted">{{ item.survey }} · {{ words(item.predicted_class ?? '–') }}</span></span>
        </a>
      </div>
    </section>
    <template v-if="live.status">
      <books-flow :status="live.status"/>
      <div class="columns">
        <section class="panel" aria-labelledby="sources"><div class="section-head"><h2 id="sources">Sources</h2></div>
          <sources-table v-if="live.status.sources.length" :sources="live.status.sources"/>
          <empty-state v-else title="No source reports">Images come only from uploads: <code>astrolens ingest PATH</code>. Surveys are switched on with <code>astrolens up --sources sdss,simulated</code>.</empty-state>
        </section>
        <section class="panel" aria-labelledby="pace"><div class="section-head"><h2 id="pace">Pace</h2></div>
          <dl class="facts">
            <dt>Analysed</dt><dd><sparkline :values="rates" :label="'Images a second since this page opened, now ' + rateText"/><b class="num">{{ rateText }}</b></dd>
            <dt>In flight</dt><dd><sparkline :values="inFlight" label="Arrivals without a verdict since this page opened"/><b class="num">{{ count(live.status.books.in_flight) }}</b><span v-if="pressure !== null && live.status.books.in_flight" class="muted num">about {{ duration(pressure) }} of work</span></dd>
            <dt>Latency</dt><dd><sparkline :values="latencies" label="Seconds from arrival to verdict of the newest images"/><b class="num">{{ latency ? duration(latency.half) : '–' }}</b><span v-if="latency" class="muted num" :title="'Arrival to verdict, the newest ' + latencies.length + ' images'">median, slowest {{ duration(latency.worst) }}</span></dd>
            <dt>Model</dt><dd><a :href="href('/model')" data-app>{{ live.status.model?.name ?? 'none' }}</a> <span v-if="live.status.model?.digest" class="mono muted" :title="live.status.model.digest">{{ live.status.model.digest.slice(0, 10) }}</span><span v-if="live.status.model?.state === 'unreachable'" class="reason">{{ live.status.model.detail }}</span></dd>
            <dt>Services</dt><dd><a :href="href('/system')" data-app><template v-if="!services.length">none report</template><template v-else-if="!down.length">all {{ services.length }} running</template><span v-else class="trouble-text">{{ down.map((one) => one.service + ' ' + one.state).join(', ') }}</span></a></dd>
          </dl>
        </section>
      </div>
    </template>
    <empty-state v-else-if="live.problem" title="The books cannot be read" trouble>{{ live.problem }} This page tries again by itself.</empty-state>`,
};
