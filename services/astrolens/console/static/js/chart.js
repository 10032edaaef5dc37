// ECharts, loaded only where a chart is on the page: it is larger than all the rest together.

import { onBeforeUnmount, onMounted, ref, watch } from "vue";

export const INK = { text: "#b4c2cf", line: "#2b3947", accent: "#6cb6ff", anomaly: "#ffb454", miss: "#c3a6ff", ordinary: "#8aa0b5" };

/** The looks that every chart shares. */
export const BASE = {
  animation: false,
  textStyle: { fontFamily: "system-ui, sans-serif", color: INK.text, fontSize: 12 },
  grid: { left: 16, right: 16, top: 34, bottom: 8, containLabel: true },
  tooltip: { trigger: "axis", confine: true, backgroundColor: "#1a2530", borderColor: INK.line, textStyle: { color: "#e3eaf1", fontSize: 12 } },
  legend: { top: 0, left: 0, textStyle: { color: INK.text }, itemWidth: 14, itemHeight: 8 },
};

export const axis = (extra = {}) => ({ axisLine: { lineStyle: { color: INK.line } }, splitLine: { lineStyle: { color: INK.line } }, axisLabel: { color: INK.text }, nameTextStyle: { color: INK.text }, ...extra });

export const EChart = {
  props: { options: { type: Object, required: true }, label: { type: String, required: true }, height: { type: Number, default: 240 } },
  setup(props) {
    const root = ref(null);
    const problem = ref("");
    let chart = null;
    let gone = false;
    const draw = () => chart?.setOption(props.options, { notMerge: true });
    const resize = new ResizeObserver(() => chart?.resize());
    onMounted(async () => {
      try {
        const { echarts } = await import("nicegui-echart");
        if (gone) return;
        chart = echarts.init(root.value, null, { renderer: "svg" });
        draw();
        resize.observe(root.value);
      } catch (error) {
        problem.value = `The chart cannot be drawn: ${error.message}`;
      }
    });
    watch(() => props.options, draw);
    onBeforeUnmount(() => {
      gone = true;
      resize.disconnect();
      chart?.dispose();
    });
    return { problem, root };
  },
  template: `<p v-if="problem" class="muted">{{ problem }}</p><div v-show="!problem" ref="root" class="chart" role="img" :aria-label="label" :style="{ height: height + 'px' }"></div>`,
};
