// The gallery's and the triage's filters: each one is a part of the address.

import { computed, ref } from "vue";
import { count, words } from "astrolens/js/format.js";
import { live } from "astrolens/js/live.js";
import { route, setQuery } from "astrolens/js/router.js";
import { FILTERS } from "astrolens/js/shapes.js";
import { degrees } from "astrolens/js/sky.js";

const HOURS = { "1h": 1, "24h": 24, "7d": 168, "30d": 720 };
const SIZE_WORDS = { s: "small", m: "medium", l: "large" };

/** A whole minute, so that the address (and the answer from the cache) stays equal for a while. */
const hoursAgo = (hours) => new Date(Math.floor((Date.now() - hours * 3600e3) / 60e3) * 60e3).toISOString().replace(".000", "");

export const FilterBar = {
  props: { size: { type: String, default: "" }, triage: Boolean },
  setup(props) {
    const more = ref(false);
    const query = computed(() => route.query);
    const options = computed(() => {
      const status = live.status;
      const names = (list, current) => [...new Set([...list, ...(current ? current.split(",") : [])])].sort();
      return {
        survey: names(Object.keys(status?.surveys ?? {}), query.value.survey),
        class: names(status?.model?.classes ?? [], query.value.class),
        source: names((status?.sources ?? []).map((one) => one.source), query.value.source),
      };
    });
    /** A new filter is a new list: where the old one stood means nothing in it. */
    const set = (name, value) => setQuery({ [name]: value, from: "", at: "", image: "" });
    const chips = computed(() => {
      const q = query.value;
      const found = [];
      if (q.q) found.push({ text: `name “${q.q}”`, clear: ["q"] });
      if (q.ra_deg && q.dec_deg) found.push({ text: `${degrees(Number(q.ra_deg), Number(q.dec_deg))} within ${q.radius_arcsec ?? 60}″`, clear: ["ra_deg", "dec_deg", "radius_arcsec"] });
      if (q.batch) found.push({ text: `batch ${q.batch.slice(0, 24)}`, clear: ["batch"] });
      if (q.since) found.push({ text: `since ${q.since.slice(0, 16).replace("T", " ")} UTC`, clear: ["since"] });
      if (q.until) found.push({ text: `until ${q.until.slice(0, 16).replace("T", " ")} UTC`, clear: ["until"] });
      if (q.simulated) found.push({ text: q.simulated === "true" ? "simulated only" : "no simulated", clear: ["simulated"] });
      return found;
    });
    const active = computed(() => FILTERS.filter((name) => query.value[name]).length);
    const drop = (names) => setQuery({ ...Object.fromEntries(names.map((name) => [name, ""])), from: "", at: "", image: "" });
    const verdictCount = (verdict) => live.status?.verdicts?.[verdict];
    const sinceHours = (key) => set("since", key ? hoursAgo(HOURS[key]) : "");
    const setSize = (value) => setQuery({ size: value === "m" ? "" : value }, { replace: true });
    return { HOURS, SIZE_WORDS, active, chips, count, drop, more, options, props, query, set, setSize, sinceHours, verdictCount, words };
  },
  template: `
    <form class="filters" :class="{ open: more }" aria-label="Filters" @submit.prevent>
      <button type="button" class="btn filters-toggle" :aria-expanded="String(more)" @click="more = !more">Filters<b v-if="active" class="num"> {{ active }}</b></button>
      <div class="filters-body">
        <label><span>Verdict</span><select :value="query.verdict ?? (triage ? 'anomaly,near_miss' : '')" @change="set('verdict', $event.target.value)">
          <option :value="triage ? 'any' : ''">any</option>
          <option value="anomaly,near_miss">candidates</option><option value="anomaly">anomaly</option><option value="near_miss">near miss</option><option value="ordinary">ordinary</option></select></label>
        <label><span>Survey</span><select :value="query.survey ?? ''" @change="set('survey', $event.target.value)"><option value="">any</option><option v-for="one in options.survey" :key="one" :value="one">{{ one }}</option></select></label>
        <label><span>Class</span><select :value="query.class ?? ''" @change="set('class', $event.target.value)"><option value="">any</option><option v-for="one in options.class" :key="one" :value="one">{{ words(one) }}</option></select></label>
        <label><span>Answer</span><select :value="query.label ?? (triage ? 'none' : '')" @change="set('label', $event.target.value)"><option :value="triage ? 'any' : ''">any</option><option value="none">unanswered</option><option v-if="!triage" value="any">answered</option><option value="interesting">interesting</option><option value="artefact">artefact</option><option value="ordinary">ordinary</option></select></label>
        <label v-if="!triage"><span>State</span><select :value="query.state ?? ''" @change="set('state', $event.target.value)"><option value="">any</option><option value="analyzed">analysed</option><option value="ingested">waiting</option><option value="dead_lettered">dead-lettered</option></select></label>
        <label v-if="options.source.length"><span>Source</span><select :value="query.source ?? ''" @change="set('source', $event.target.value)"><option value="">any</option><option v-for="one in options.source" :key="one" :value="one">{{ one }}</option></select></label>
        <label><span>Arrived</span><select value="" @change="sinceHours($event.target.value); $event.target.value = ''"><option value="">{{ query.since ? 'since …' : 'any time' }}</option><option v-for="(hours, key) in HOURS" :key="key" :value="key">last {{ key }}</option></select></label>
        <label><span>Sort</span><select :value="query.sort ?? 'strangeness'" @change="set('sort', $event.target.value === 'strangeness' ? '' : $event.target.value)"><option value="strangeness">strangest</option><option value="newest">newest</option><option value="labeled">last answered</option><option value="asymmetry">most asymmetric</option><option value="concentration">most concentrated</option><option value="gini">largest Gini</option><option value="ring">most ring-like</option></select></label>
      </div>
      <div v-if="!triage" class="sizes" role="group" aria-label="Size of the pictures">
        <button v-for="(word, key) in SIZE_WORDS" :key="key" type="button" class="btn" :aria-pressed="String(size === key)" :title="word + ' pictures (+ and -)'" :aria-label="word + ' pictures'" @click="setSize(key)"><i :class="'size-' + key" aria-hidden="true"></i></button>
      </div>
      <div v-if="chips.length" class="chips"><button v-for="chip in chips" :key="chip.text" type="button" class="chip num" :aria-label="'Remove the filter ' + chip.text" @click="drop(chip.clear)">{{ chip.text }} <span aria-hidden="true">×</span></button></div>
    </form>`,
};
