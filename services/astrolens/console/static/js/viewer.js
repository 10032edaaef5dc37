// The image on a canvas: zoom, pan, stretch, invert, scale bar, north and east where they are known.

import { computed, onBeforeUnmount, onMounted, ref, watch } from "vue";
import { readable } from "astrolens/js/api.js";
import { DEFAULT_VIEW, lookup, niceArcsec, percentiles } from "astrolens/js/stretch.js";

const MAX_ZOOM = 32;
/** Above this many screen pixels a picture pixel, squares are truer than a smooth guess. */
const PIXELS_FROM = 4;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export const ImageViewer = {
  props: {
    src: { type: String, required: true },
    view: { type: Object, default: () => ({ ...DEFAULT_VIEW }) },
    arcsec: { type: Number, default: null }, // arcseconds a pixel of this picture
    northUp: Boolean,
    label: { type: String, default: "Image" },
  },
  emits: ["update", "loaded"],
  setup(props, { emit, expose }) {
    const canvas = ref(null);
    const state = ref("loading");
    const fit = ref(1);
    const size = ref({ width: 0, height: 0, pixels: 1 });
    let picture = null; // ImageData as it came
    let shown = null; // canvas of the stretched picture
    let quantiles = null;
    let frame = 0;
    let loading = 0;

    const scale = computed(() => fit.value * props.view.zoom);
    const bar = computed(() => {
      if (!props.arcsec || state.value !== "ready") return null;
      const wanted = (Math.min(160, size.value.width * 0.32) / scale.value) * props.arcsec;
      const arcsec = niceArcsec(wanted);
      const text = arcsec >= 60 ? `${Number((arcsec / 60).toPrecision(3))}′` : `${arcsec}″`;
      return { width: (arcsec / props.arcsec) * scale.value, text };
    });

    const restretch = () => {
      if (!picture) return;
      const table = lookup(props.view, quantiles);
      const context = shown.getContext("2d");
      const out = context.createImageData(picture.width, picture.height);
      const from = picture.data;
      for (let i = 0; i < from.length; i += 4) {
        out.data[i] = table[from[i]];
        out.data[i + 1] = table[from[i + 1]];
        out.data[i + 2] = table[from[i + 2]];
        out.data[i + 3] = 255;
      }
      context.putImageData(out, 0, 0);
    };

    const draw = () => {
      frame = 0;
      if (!canvas.value || !shown) return;
      const { width, height, pixels } = size.value;
      const context = canvas.value.getContext("2d");
      context.setTransform(pixels, 0, 0, pixels, 0, 0);
      context.clearRect(0, 0, width, height);
      context.imageSmoothingEnabled = scale.value < PIXELS_FROM;
      context.imageSmoothingQuality = "high";
      const w = shown.width * scale.value;
      const h = shown.height * scale.value;
      context.drawImage(shown, width / 2 - props.view.cx * w, height / 2 - props.view.cy * h, w, h);
    };
    const redraw = () => {
      frame ||= requestAnimationFrame(draw);
    };

    const measure = () => {
      const box = canvas.value?.parentElement?.getBoundingClientRect();
      if (!box?.width) return;
      const pixels = window.devicePixelRatio || 1;
      size.value = { width: box.width, height: box.height, pixels };
      canvas.value.width = Math.round(box.width * pixels);
      canvas.value.height = Math.round(box.height * pixels);
      if (shown) fit.value = Math.min(box.width / shown.width, box.height / shown.height);
      draw();
    };

    const load = async () => {
      const mine = ++loading;
      const image = new Image();
      image.decoding = "async";
      image.src = readable(props.src);
      try {
        await image.decode();
      } catch {
        if (mine === loading) state.value = "failed";
        return;
      }
      // A quicker answer for a later image must not be painted over by a slow earlier one.
      if (mine !== loading || !canvas.value) return;
      shown = Object.assign(document.createElement("canvas"), { width: image.naturalWidth, height: image.naturalHeight });
      const context = shown.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      picture = context.getImageData(0, 0, shown.width, shown.height);
      quantiles = percentiles(picture.data);
      state.value = "ready";
      restretch();
      measure();
      emit("loaded", { width: shown.width, height: shown.height });
    };

    const change = (values) => emit("update", { ...props.view, ...values });
    /** Zoom about a point of the canvas (CSS pixels from its middle). */
    const zoomBy = (factor, x = 0, y = 0) => {
      if (!shown) return;
      const zoom = clamp(props.view.zoom * factor, 1, MAX_ZOOM);
      const now = scale.value;
      const next = fit.value * zoom;
      const px = props.view.cx + x / (shown.width * now) - x / (shown.width * next);
      const py = props.view.cy + y / (shown.height * now) - y / (shown.height * next);
      change(zoom === 1 ? { zoom, cx: 0.5, cy: 0.5 } : { zoom, cx: clamp(px, 0, 1), cy: clamp(py, 0, 1) });
    };
    const panBy = (dx, dy) => {
      if (!shown || props.view.zoom === 1) return;
      change({ cx: clamp(props.view.cx - dx / (shown.width * scale.value), 0, 1), cy: clamp(props.view.cy - dy / (shown.height * scale.value), 0, 1) });
    };
    expose({ zoomBy, panBy });

    const pointers = new Map();
    const middle = (event) => {
      const box = canvas.value.getBoundingClientRect();
      return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
    };
    const onWheel = (event) => {
      // A page that scrolls under the wheel must stay scrollable: zoom with Ctrl or pinch, or once zoomed in.
      if (!event.ctrlKey && props.view.zoom === 1 && event.deltaY > 0) return;
      event.preventDefault();
      zoomBy(Math.exp(-clamp(event.deltaY, -120, 120) / 320), ...middle(event));
    };
    const onDown = (event) => {
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      canvas.value.setPointerCapture(event.pointerId);
    };
    const onMove = (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      if (pointers.size === 1) panBy(event.clientX - before[0], event.clientY - before[1]);
      else {
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        const was = Math.hypot(before[0] - other[0], before[1] - other[1]);
        const is = Math.hypot(event.clientX - other[0], event.clientY - other[1]);
        if (was > 0) zoomBy(is / was);
      }
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
    };
    const onUp = (event) => pointers.delete(event.pointerId);
    const onDouble = (event) => zoomBy(props.view.zoom > 1 ? 1e-3 : 4, ...middle(event));

    const resize = new ResizeObserver(measure);
    onMounted(() => {
      resize.observe(canvas.value.parentElement);
      load();
    });
    onBeforeUnmount(() => {
      loading += 1;
      resize.disconnect();
      cancelAnimationFrame(frame);
    });
    watch(() => props.src, load);
    watch(() => [props.view.stretch, props.view.pct, props.view.invert], () => {
      restretch();
      redraw();
    });
    watch(() => [props.view.zoom, props.view.cx, props.view.cy], redraw);

    return { canvas, state, bar, onWheel, onDown, onMove, onUp, onDouble };
  },
  template: `
    <div class="viewer" :class="{ zoomed: view.zoom > 1 }" :data-state="state">
      <canvas ref="canvas" role="img" :aria-label="label" @wheel="onWheel" @pointerdown="onDown" @pointermove="onMove" @pointerup="onUp" @pointercancel="onUp" @dblclick="onDouble"></canvas>
      <div v-if="state === 'failed'" class="viewer-note">The picture could not be loaded from the image store.</div>
      <div v-if="bar" class="scalebar" aria-hidden="true"><span class="num">{{ bar.text }}</span><i :style="{ width: bar.width + 'px' }"></i></div>
      <svg v-if="northUp && state === 'ready'" class="compass" viewBox="0 0 44 44" role="img" aria-label="North is up, east is left">
        <path d="M32 36V12M32 12l-3 5M32 12l3 5M32 36H10M10 36l5-3M10 36l5 3" fill="none" stroke="currentColor" stroke-width="1.5"/>
        <text x="32" y="9" text-anchor="middle">N</text><text x="4" y="39.5" text-anchor="middle">E</text>
      </svg>
      <span v-if="view.zoom > 1" class="zoom-note num" aria-hidden="true">{{ view.zoom.toFixed(1) }}×</span>
    </div>`,
};
