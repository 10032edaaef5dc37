// A picture with zoom, pan, stretch, invert, scale bar, north and east; and the bar of buttons for them.
// The browser draws: zoom and pan are a transform, the stretch is a filter, so that a key costs no work on pixels here.

import { enter } from "astrolens-address";
import { bindKeys } from "astrolens-keys";
import { KeyButton } from "astrolens-marks";
import { load } from "astrolens-pictures";
import { clamp, MAX_ZOOM, niceArcsec, readView, transfer, update, view, viewKeys } from "astrolens-view";
import { computed, defineComponent, onBeforeUnmount, onMounted, ref, shallowRef, useId, watch } from "vue";

/** Above this many screen pixels a picture pixel, squares are truer than a smooth guess. */
const PIXELS_FROM = 4;
const RETRY_MS = 3000;
/** The scale bar's longest share of the width. */
const BAR = 0.24;

/**
 * Props: `src` (a card's `cutout_url`), `arcsec` a pixel of it, `label`, `map`: SVG over the smallest centred square around
 * the picture, from Python. Its children are shown with the picture. Events: `shown` with `src` once its pixels are on the
 * screen; `swipe` with the way of a finger: left or right.
 */
export const ImageViewer = defineComponent({
  props: {
    src: { type: String, required: true },
    arcsec: { type: Number, default: null },
    label: { type: String, default: "Image" },
    map: { type: String, default: "" },
  },
  emits: ["shown", "swipe"],
  setup(props, { emit }) {
    const frame = ref(/** @type {HTMLElement | null} */ (null));
    const picture = shallowRef(/** @type {HTMLImageElement | null} */ (null));
    const state = ref("loading");
    const drag = ref(0);
    const filter = useId();
    let retry = 0;

    const side = () => frame.value?.clientWidth ?? 1;
    /** Width and height of the picture as shares of the frame, a square. @param {HTMLImageElement} image */
    const shares = ({ naturalWidth: w, naturalHeight: h }) => [w / Math.max(w, h), h / Math.max(w, h)];
    const bar = computed(() => {
      if (!props.arcsec || !picture.value) return null;
      const across = (Math.max(picture.value.naturalWidth, picture.value.naturalHeight) * props.arcsec) / view.zoom;
      const arcsec = niceArcsec(BAR * across);
      const text = arcsec >= 60 ? `${Number((arcsec / 60).toPrecision(3))}′` : `${arcsec}″`;
      return { width: `${(100 * arcsec) / across}%`, text };
    });
    const plain = computed(() => view.stretch === "linear" && view.pct === 100 && !view.invert);
    const table = computed(() => (plain.value || !picture.value ? "" : transfer(view, picture.value)));
    const style = computed(() => {
      if (!picture.value) return {};
      const [w, h] = shares(picture.value);
      const shift = [(0.5 - view.cx) * w, (0.5 - view.cy) * h].map((share) => `${100 * share * view.zoom}%`);
      const coarse = (view.zoom * side()) / Math.max(picture.value.naturalWidth, picture.value.naturalHeight);
      return {
        transform: `translate(${drag.value}px) translate(${shift}) scale(${view.zoom})`,
        filter: table.value ? `url(#${filter})` : "none",
        imageRendering: coarse >= PIXELS_FROM ? "pixelated" : "auto",
      };
    });

    /** @param {import("astrolens-pictures").Picture} found */
    const put = (found) => {
      state.value = found.state;
      picture.value = found.state === "ready" ? found.image : null;
      frame.value?.replaceChildren(...(picture.value ? [picture.value] : []));
    };
    const show = async () => {
      clearTimeout(retry);
      const { src } = props;
      const found = load(src);
      if (found.state === "loading") {
        // The picture before is not that of the name beside it.
        put(found);
        await found.settled;
        // A quicker answer for a later image must not be painted over by a slow earlier one.
        if (src !== props.src || !frame.value) return;
      }
      put(found);
      if (found.state === "ready") emit("shown", src);
      else retry = window.setTimeout(show, RETRY_MS);
    };
    onMounted(show);
    watch(() => props.src, show, { flush: "post" });
    onBeforeUnmount(() => clearTimeout(retry));

    /** Zoom about a point. @param {number} factor @param {number[]} [point] CSS pixels from the middle */
    const zoomBy = (factor, [x, y] = [0, 0]) => {
      if (!picture.value) return;
      const [w, h] = shares(picture.value);
      const zoom = clamp(view.zoom * factor, 1, MAX_ZOOM);
      const gain = (1 / view.zoom - 1 / zoom) / side();
      update({ zoom, cx: clamp(view.cx + (x / w) * gain, 0, 1), cy: clamp(view.cy + (y / h) * gain, 0, 1) });
    };
    /** @param {number} dx @param {number} dy */
    const panBy = (dx, dy) => {
      if (!picture.value || view.zoom === 1) return;
      const [w, h] = shares(picture.value).map((share) => share * side() * view.zoom);
      update({ cx: clamp(view.cx - dx / w, 0, 1), cy: clamp(view.cy - dy / h, 0, 1) });
    };

    /** @type {Map<number, number[]>} */
    const pointers = new Map();
    /** @param {MouseEvent} event */
    const middle = (event) => {
      const box = /** @type {HTMLElement} */ (event.currentTarget).getBoundingClientRect();
      return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
    };
    /** @param {WheelEvent} event */
    const onWheel = (event) => {
      // A page that scrolls under the wheel must stay scrollable: zoom with Ctrl or pinch, or once zoomed in.
      if (!event.ctrlKey && view.zoom === 1 && event.deltaY > 0) return;
      event.preventDefault();
      zoomBy(Math.exp(-clamp(event.deltaY, -120, 120) / 320), middle(event));
    };
    /** @param {PointerEvent} event */
    const onDown = (event) => {
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      /** @type {HTMLElement} */ (event.currentTarget).setPointerCapture(event.pointerId);
      drag.value = 0;
    };
    /** @param {PointerEvent} event */
    const onMove = (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const now = [event.clientX, event.clientY];
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const [was, is] = [before, now].map(([x, y]) => Math.hypot(x - other[0], y - other[1]));
        if (was > 0) zoomBy(is / was);
      } else panBy(now[0] - before[0], now[1] - before[1]);
      drag.value = view.zoom === 1 && event.pointerType === "touch" && !other ? drag.value + now[0] - before[0] : 0;
      pointers.set(event.pointerId, now);
    };
    /** @param {PointerEvent} event */
    const onUp = (event) => {
      pointers.delete(event.pointerId);
      const far = event.type === "pointerup" && Math.abs(drag.value) > side() / 4;
      if (far) emit("swipe", drag.value > 0 ? "right" : "left");
      drag.value = 0;
    };
    /** @param {MouseEvent} event */
    const onDouble = (event) => zoomBy(view.zoom > 1 ? 1e-3 : 4, middle(event));

    const mapped = computed(() => (view.map && state.value === "ready" ? props.map : ""));
    return { bar, filter, frame, onDouble, onDown, onMove, onUp, onWheel, mapped, state, style, table, view };
  },
  template: `
    <div class="viewer" :class="{ zoomed: view.zoom > 1 }" :data-state="state"
         @wheel="onWheel" @pointerdown="onDown" @pointermove="onMove" @pointerup="onUp" @pointercancel="onUp" @dblclick="onDouble">
      <div ref="frame" class="frame" role="img" :aria-label="label" :style="style"></div>
      <img v-if="mapped" class="frame" :src="mapped" :style="{ transform: style.transform }" alt="">
      <div v-if="mapped" class="map-legend absolute-top-right q-ma-sm" aria-hidden="true"><span>ordinary</span><i></i><span>strange</span><span class="map-outline">outlined: beyond 99 %</span></div>
      <svg v-if="table" class="visually-hidden" aria-hidden="true"><filter :id="filter" color-interpolation-filters="sRGB"><feComponentTransfer>
        <feFuncR type="table" :tableValues="table"/><feFuncG type="table" :tableValues="table"/><feFuncB type="table" :tableValues="table"/></feComponentTransfer></filter></svg>
      <div v-if="state === 'failed'" class="absolute-full flex flex-center q-pa-md muted">The picture could not be loaded. It is tried again.</div>
      <div v-if="bar" class="scalebar absolute-bottom-left q-ma-sm text-no-wrap" aria-hidden="true" :style="{ width: bar.width }"><span class="num">{{ bar.text }}</span></div>
      <slot v-if="state === 'ready'"></slot>
      <span v-if="view.zoom > 1" class="zoom-note absolute-top-left q-ma-sm" aria-hidden="true">{{ view.zoom.toFixed(1) }}×</span>
    </div>`,
});

/** Buttons and keys for the view of all pictures on the page; the address says how it begins. */
export const ViewBar = defineComponent({
  components: { KeyButton },
  props: { address: { type: String, required: true }, mapped: { type: Boolean, default: false } },
  setup(props) {
    enter(props.address);
    readView();
    const invertMap = () => update({ map: !view.map });
    /** @type {import("astrolens-keys").Binding[]} */
    const bound = [...viewKeys, ["w", "Show where it is strange", invertMap, () => props.mapped]];
    bindKeys("Picture", bound);
    const shown = computed(() => [
      { words: view.zoom === 1 ? "fit" : `${Number(view.zoom.toFixed(1))}×`, of: "Zoom: " },
      { words: view.stretch, of: "Stretch: " },
      { words: view.pct === 100 ? "no clip" : `${view.pct} %`, of: "Clip: " },
      { words: "invert", pressed: view.invert },
      { words: "reset" },
      ...(props.mapped ? [{ words: "where", pressed: view.map }] : []),
    ]);
    return { bound, shown };
  },
  template: `
    <div class="viewbar" role="toolbar" aria-label="How the picture is shown">
      <key-button v-for="(one, at) in shown" :key="at" :k="bound[at][0]" :label="bound[at][1]" :pressed="one.pressed" @press="bound[at][2]"><span class="visually-hidden">{{ one.of }}</span><span class="num">{{ one.words }}</span></key-button>
    </div>`,
});
