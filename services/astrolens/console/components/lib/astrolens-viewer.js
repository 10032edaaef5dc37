// A picture on a canvas: zoom, pan, stretch, invert, scale bar, north and east; and the bar of buttons for them.

import { enter } from "astrolens-address";
import { bindKeys } from "astrolens-keys";
import { KeyButton } from "astrolens-marks";
import { cellsOf, GRADIENT, paintCells } from "astrolens-patches";
import { decoded, load } from "astrolens-pictures";
import { lookup, MAX_ZOOM, niceArcsec, readView, update, view, viewKeys } from "astrolens-view";
import { computed, defineComponent, onBeforeUnmount, onMounted, ref, watch } from "vue";

/** Above this many screen pixels a picture pixel, squares are truer than a smooth guess. */
const PIXELS_FROM = 4;
const RETRY_MS = 3000;

/** @param {number} value @param {number} low @param {number} high */
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/**
 * Props: `src` (a card's `cutout_url`), `arcsec` a pixel of it, `north` (degrees from up to north, counterclockwise; east is to its left), `label`,
 * `cells`: a map of strange patches over the smallest centred square around the picture, in Base64.
 * Events: `shown` with `src` once its pixels are on the screen; `swipe` with the way of a finger: left or right.
 */
export const ImageViewer = defineComponent({
  props: {
    src: { type: String, required: true },
    arcsec: { type: Number, default: null },
    north: { type: Number, default: null },
    label: { type: String, default: "Image" },
    cells: { type: String, default: "" },
  },
  emits: ["shown", "swipe"],
  setup(props, { emit }) {
    const canvas = ref(/** @type {HTMLCanvasElement | null} */ (null));
    const state = ref("loading");
    const fit = ref(1);
    const size = ref({ width: 0, height: 0, pixels: 1 });
    const drag = ref(0);
    /** @type {import("astrolens-pictures").Picture | null} */
    let picture = null;
    const stretched = document.createElement("canvas");
    let frame = 0;
    let retry = 0;

    const scale = computed(() => fit.value * view.zoom);
    const mapped = computed(() => (view.map && state.value === "ready" ? cellsOf(props.cells) : null));
    const bar = computed(() => {
      if (!props.arcsec || state.value !== "ready") return null;
      const arcsec = niceArcsec((Math.min(160, size.value.width * 0.32) / scale.value) * props.arcsec);
      const text = arcsec >= 60 ? `${Number((arcsec / 60).toPrecision(3))}′` : `${arcsec}″`;
      return { width: (arcsec / props.arcsec) * scale.value, text };
    });

    const restretch = () => {
      if (!picture) return;
      const table = lookup(view, picture.quantiles);
      const { width, height, data } = picture.pixels;
      Object.assign(stretched, { width, height });
      const context = /** @type {CanvasRenderingContext2D} */ (stretched.getContext("2d"));
      const out = context.createImageData(width, height);
      for (let i = 0; i < data.length; i += 4) {
        out.data[i] = table[data[i]];
        out.data[i + 1] = table[data[i + 1]];
        out.data[i + 2] = table[data[i + 2]];
        out.data[i + 3] = 255;
      }
      context.putImageData(out, 0, 0);
    };
    const draw = () => {
      frame = 0;
      const context = canvas.value?.getContext("2d");
      if (!context) return;
      const { width, height, pixels } = size.value;
      context.setTransform(pixels, 0, 0, pixels, 0, 0);
      context.clearRect(0, 0, width, height);
      if (!picture) return;
      context.imageSmoothingEnabled = scale.value < PIXELS_FROM;
      context.imageSmoothingQuality = "high";
      const w = stretched.width * scale.value;
      const h = stretched.height * scale.value;
      const left = width / 2 - view.cx * w;
      const top = height / 2 - view.cy * h;
      context.drawImage(stretched, left, top, w, h);
      if (!mapped.value) return;
      const side = Math.max(w, h);
      paintCells(context, mapped.value, left + (w - side) / 2, top + (h - side) / 2, side);
    };
    const redraw = () => {
      frame ||= requestAnimationFrame(draw);
    };
    const measure = () => {
      const box = canvas.value?.parentElement?.getBoundingClientRect();
      if (!box?.width || !canvas.value) return;
      const pixels = window.devicePixelRatio || 1;
      size.value = { width: box.width, height: box.height, pixels };
      canvas.value.width = Math.round(box.width * pixels);
      canvas.value.height = Math.round(box.height * pixels);
      if (picture) fit.value = Math.min(box.width / stretched.width, box.height / stretched.height);
      draw();
    };
    /** @param {import("astrolens-pictures").Picture} loaded */
    const show = (loaded) => {
      picture = loaded;
      state.value = "ready";
      restretch();
      measure();
      emit("shown", props.src);
    };
    const fetchPicture = async () => {
      clearTimeout(retry);
      const { src } = props;
      const ready = decoded(src);
      if (ready) {
        show(ready);
        return;
      }
      // The picture before is not that of the name beside it.
      picture = null;
      state.value = "loading";
      draw();
      try {
        const loaded = await load(src);
        // A quicker answer for a later image must not be painted over by a slow earlier one.
        if (src === props.src && canvas.value) show(loaded);
      } catch {
        if (src !== props.src || !canvas.value) return;
        state.value = "failed";
        retry = window.setTimeout(fetchPicture, RETRY_MS);
      }
    };

    /** Zoom about a point of the canvas. @param {number} factor @param {number} [x] CSS pixels from its middle @param {number} [y] */
    const zoomBy = (factor, x = 0, y = 0) => {
      if (!picture) return;
      const zoom = clamp(view.zoom * factor, 1, MAX_ZOOM);
      const gain = 1 / scale.value - 1 / (fit.value * zoom);
      const cx = clamp(view.cx + (x / stretched.width) * gain, 0, 1);
      const cy = clamp(view.cy + (y / stretched.height) * gain, 0, 1);
      update(zoom === 1 ? { zoom, cx: 0.5, cy: 0.5 } : { zoom, cx, cy });
    };
    /** @param {number} dx @param {number} dy */
    const panBy = (dx, dy) => {
      if (!picture || view.zoom === 1) return;
      const cx = clamp(view.cx - dx / (stretched.width * scale.value), 0, 1);
      const cy = clamp(view.cy - dy / (stretched.height * scale.value), 0, 1);
      update({ cx, cy });
    };

    /** @type {Map<number, [number, number]>} */
    const pointers = new Map();
    /** @param {MouseEvent} event @returns {[number, number]} */
    const middle = (event) => {
      const box = /** @type {HTMLCanvasElement} */ (canvas.value).getBoundingClientRect();
      return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
    };
    /** @param {WheelEvent} event */
    const onWheel = (event) => {
      // A page that scrolls under the wheel must stay scrollable: zoom with Ctrl or pinch, or once zoomed in.
      if (!event.ctrlKey && view.zoom === 1 && event.deltaY > 0) return;
      event.preventDefault();
      zoomBy(Math.exp(-clamp(event.deltaY, -120, 120) / 320), ...middle(event));
    };
    /** @param {PointerEvent} event */
    const onDown = (event) => {
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      canvas.value?.setPointerCapture(event.pointerId);
      drag.value = 0;
    };
    /** @param {PointerEvent} event */
    const onMove = (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      if (pointers.size === 1) {
        panBy(event.clientX - before[0], event.clientY - before[1]);
        if (view.zoom === 1 && event.pointerType === "touch") drag.value += event.clientX - before[0];
      } else {
        drag.value = 0;
        const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1] ?? before;
        const was = Math.hypot(before[0] - other[0], before[1] - other[1]);
        const is = Math.hypot(event.clientX - other[0], event.clientY - other[1]);
        if (was > 0) zoomBy(is / was);
      }
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
    };
    /** @param {PointerEvent} event */
    const onUp = (event) => {
      pointers.delete(event.pointerId);
      if (event.type === "pointerup" && Math.abs(drag.value) > size.value.width / 4) {
        emit("swipe", drag.value > 0 ? "right" : "left");
      }
      drag.value = 0;
    };
    /** @param {MouseEvent} event */
    const onDouble = (event) => zoomBy(view.zoom > 1 ? 1e-3 : 4, ...middle(event));

    const resize = new ResizeObserver(measure);
    onMounted(() => {
      resize.observe(/** @type {HTMLElement} */ (canvas.value?.parentElement));
      measure();
      fetchPicture();
    });
    onBeforeUnmount(() => {
      clearTimeout(retry);
      resize.disconnect();
      cancelAnimationFrame(frame);
    });
    watch(() => props.src, fetchPicture, { flush: "post" });
    watch(
      () => [view.stretch, view.pct, view.invert],
      () => {
        restretch();
        redraw();
      },
    );
    watch(() => [view.zoom, view.cx, view.cy, mapped.value], redraw);

    const compass = computed(() => {
      if (!props.north) return "North is up, east is left";
      const side = props.north > 0 ? "left" : "right";
      return `North is ${Math.abs(props.north).toFixed(1)}° ${side} of up, east is to its left`;
    });

    return { bar, canvas, compass, drag, GRADIENT, mapped, onDouble, onDown, onMove, onUp, onWheel, state, view };
  },
  template: `
    <div class="viewer" :class="{ zoomed: view.zoom > 1 }" :data-state="state">
      <canvas ref="canvas" role="img" :aria-label="label" :style="drag ? { transform: 'translateX(' + drag + 'px)' } : null"
              @wheel="onWheel" @pointerdown="onDown" @pointermove="onMove" @pointerup="onUp" @pointercancel="onUp" @dblclick="onDouble"></canvas>
      <div v-if="state === 'failed'" class="viewer-note">The picture could not be loaded. It is tried again.</div>
      <div v-if="bar" class="scalebar" aria-hidden="true"><span class="num">{{ bar.text }}</span><i :style="{ width: bar.width + 'px' }"></i></div>
      <svg v-if="north !== null && state === 'ready'" class="compass" viewBox="0 0 44 44" role="img" :aria-label="compass" :style="{ transform: 'rotate(' + -north + 'deg)' }">
        <path d="M32 36V12M32 12l-3 5M32 12l3 5M32 36H10M10 36l5-3M10 36l5 3" fill="none" stroke="currentColor" stroke-width="1.5"/>
        <text x="32" y="9" text-anchor="middle">N</text><text x="4" y="39.5" text-anchor="middle">E</text>
      </svg>
      <div v-if="mapped" class="map-legend" aria-hidden="true"><span>ordinary</span><i :style="{ background: GRADIENT }"></i><span>strange</span><span class="map-outline">outlined: beyond 99 %</span></div>
      <span v-if="view.zoom > 1" class="zoom-note num" aria-hidden="true">{{ view.zoom.toFixed(1) }}×</span>
    </div>`,
});

/** Buttons and keys for the view of all pictures on the page; the address says how it begins. */
export const ViewBar = defineComponent({
  components: { KeyButton },
  props: { address: { type: String, required: true }, mapped: { type: Boolean, default: false } },
  setup(props) {
    enter(props.address);
    readView();
    const toggleMap = () => update({ map: !view.map });
    const mapKey = { keys: ["w"], label: "Show where it is strange", when: () => props.mapped, run: toggleMap };
    onBeforeUnmount(bindKeys("Picture", [...viewKeys, mapKey]));
    const zoom = computed(() => (view.zoom === 1 ? "fit" : `${Number(view.zoom.toFixed(1))}×`));
    const clip = computed(() => (view.pct === 100 ? "no clip" : `${view.pct} %`));
    /** @param {string} key */
    const press = (key) => viewKeys.find((one) => one.keys[0] === key)?.run();
    return { clip, press, toggleMap, view, zoom };
  },
  template: `
    <div class="viewbar" role="toolbar" aria-label="How the picture is shown">
      <key-button k="z" label="Zoom" @press="press('z')"><span class="visually-hidden">Zoom: </span><span class="num">{{ zoom }}</span></key-button>
      <key-button k="s" label="Stretch" @press="press('s')"><span class="visually-hidden">Stretch: </span>{{ view.stretch }}</key-button>
      <key-button k="p" label="Clip at percentile" @press="press('p')"><span class="visually-hidden">Clip: </span><span class="num">{{ clip }}</span></key-button>
      <key-button k="i" label="Invert" :pressed="view.invert" @press="press('i')">invert</key-button>
      <key-button v-if="mapped" k="w" label="Show where it is strange" :pressed="view.map" @press="toggleMap">where</key-button>
      <key-button k="0" label="The picture as it came" @press="press('0')">reset</key-button>
    </div>`,
});
