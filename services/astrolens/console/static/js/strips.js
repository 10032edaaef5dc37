// Why: each detector's score on the strip of its calibration distribution, with its p-value.

import { computed } from "vue";
import { density, detectorTitle, quantile } from "astrolens/js/distribution.js";
import { figure } from "astrolens/js/format.js";

const WIDTH = 420;
const HEIGHT = 46;
const BASE = 34;
export const StripPlot = {
  props: { name: { type: String, required: true }, score: { type: Number, default: null }, p: { type: Number, default: null }, said: { type: Object, required: true }, strip: { type: Object, default: null }, placed: Boolean, alpha: { type: Number, default: null } },
  setup(props) {
    const title = computed(() => detectorTitle(props.name));
    const drawn = computed(() => {
      const { probabilities, scores } = props.strip ?? {};
      if (!scores?.length || scores.length < 3) return null;
      // The first and last quantile of a heavy tail would squeeze everything else into one pixel.
      let low = quantile(probabilities, scores, 0.005);
      let high = quantile(probabilities, scores, 0.995);
      const span = high - low || 1;
      const beyond = props.score !== null && props.score > high + span;
      if (props.score !== null) {
        low = Math.max(Math.min(low, props.score), low - span);
        high = Math.min(Math.max(high, props.score), high + span);
      }
      const pad = (high - low) * 0.04 || 1;
      const x = (score) => Math.min(WIDTH - 4, Math.max(4, ((score - low + pad) / (high - low + 2 * pad)) * WIDTH));
      const bars = density(probabilities, scores, Math.max(low - pad, scores[0]), Math.min(high + pad, scores.at(-1)));
      const top = Math.max(...bars.map((bar) => bar.height), 1e-12);
      const y = (height) => BASE - Math.min(1, height / top) * (BASE - 6);
      let path = bars.length ? `M${x(bars[0].from).toFixed(1)} ${BASE}` : "";
      for (const bar of bars) path += `L${x(bar.from).toFixed(1)} ${y(bar.height).toFixed(1)}L${x(bar.to).toFixed(1)} ${y(bar.height).toFixed(1)}`;
      if (bars.length) path += `L${x(bars.at(-1).to).toFixed(1)} ${BASE}Z`;
      const line = (share) => (props.alpha ? x(quantile(probabilities, scores, 1 - share)) : null);
      return { path, at: props.score === null ? null : x(props.score), beyond, anomaly: line(props.alpha), miss: line(3 * props.alpha), low: figure(low), high: figure(high) };
    });
    const says = computed(() => `${title.value}: ${props.placed ? "" : `score ${figure(props.score)}, `}${props.said.figure}, ${props.said.meaning}`);
    const hue = computed(() => (props.p === null || props.alpha === null ? "" : props.p <= props.alpha ? "v-anomaly" : props.p <= 3 * props.alpha ? "v-near_miss" : "v-ordinary"));
    return { BASE, HEIGHT, WIDTH, drawn, figure, hue, says, title };
  },
  template: `
    <figure class="strip-plot">
      <figcaption><b>{{ title }}</b><span v-if="score !== null && !placed" class="num muted">score {{ figure(score) }}</span><span class="num"><b>{{ said.figure }}</b> <span class="muted">{{ said.meaning }}</span></span></figcaption>
      <svg v-if="drawn" :viewBox="'0 0 ' + WIDTH + ' ' + HEIGHT" role="img" :aria-label="says" preserveAspectRatio="none">
        <path :d="drawn.path" class="strip-fill"/>
        <line x1="0" :x2="WIDTH" :y1="BASE" :y2="BASE" class="strip-base"/>
        <line v-if="drawn.miss !== null" :x1="drawn.miss" :x2="drawn.miss" y1="4" :y2="BASE" class="strip-limit miss"><title>Near misses begin here</title></line>
        <line v-if="drawn.anomaly !== null" :x1="drawn.anomaly" :x2="drawn.anomaly" y1="4" :y2="BASE" class="strip-limit"><title>Anomalies begin here</title></line>
        <g v-if="drawn.at !== null" :class="hue"><line :x1="drawn.at" :x2="drawn.at" y1="2" :y2="BASE + 3" class="strip-mark"/><path :d="'M' + drawn.at + ' ' + (BASE + 1) + 'l5 7h-10Z'" fill="currentColor"/></g>
      </svg>
      <div v-if="drawn" class="strip-ends num muted" aria-hidden="true"><span>{{ drawn.low }}</span><span>ordinary images’ scores{{ drawn.beyond ? '; this one lies beyond' : '' }}</span><span>{{ drawn.high }}</span></div>
    </figure>`,
};
