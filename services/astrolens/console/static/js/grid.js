// The image grid: any number of images, only the visible ones in the page.

import { computed, nextTick, onBeforeUnmount, onMounted, ref, watch } from "vue";
import { AnswerMark, VerdictMark, answerOf, nameOf } from "astrolens/js/parts.js";
import { pValueLine, words } from "astrolens/js/format.js";
import { href } from "astrolens/js/router.js";

/** Smallest edge of a cell in CSS pixels, and whether a caption fits under it. */
export const SIZES = { s: { edge: 92, caption: 0 }, m: { edge: 152, caption: 22 }, l: { edge: 236, caption: 42 } };
const GAP = 6;
/** Rows kept ready above and below what is seen: a flick of the wheel must not show holes. */
const OVERSCAN = 3;
/** Ask for the next page this many screens before the end. */
const AHEAD = 2;

export const ImageGrid = {
  components: { AnswerMark, VerdictMark },
  props: {
    items: { type: Array, required: true },
    size: { type: String, default: "m" },
    selected: { type: Set, required: true },
    cursor: { type: String, default: null },
    more: Boolean,
  },
  emits: ["need-more", "move", "pick", "open"],
  setup(props, { emit, expose }) {
    const root = ref(null);
    const width = ref(0);
    const top = ref(0);
    const view = ref({ from: 0, to: 800 });

    const layout = computed(() => {
      const { edge, caption } = SIZES[props.size] ?? SIZES.m;
      const small = width.value < 480 && props.size !== "s" ? Math.min(edge, (width.value - GAP) / 2) : edge;
      const columns = Math.max(1, Math.floor((width.value + GAP) / (small + GAP)));
      const cell = (width.value - GAP * (columns - 1)) / columns;
      return { columns, cell, caption, row: cell + caption + GAP };
    });
    const rows = computed(() => Math.ceil(props.items.length / layout.value.columns));
    const height = computed(() => Math.max(0, rows.value * layout.value.row - GAP));
    const visible = computed(() => {
      const { columns, cell, row } = layout.value;
      if (!width.value) return [];
      const first = Math.max(0, Math.floor(view.value.from / row) - OVERSCAN) * columns;
      const last = Math.min(props.items.length, (Math.ceil(view.value.to / row) + OVERSCAN) * columns);
      const cells = [];
      for (let index = first; index < last; index += 1) {
        const x = (index % columns) * (cell + GAP);
        const y = Math.floor(index / columns) * row;
        cells.push({ index, item: props.items[index], style: { "--cell": `${cell}px`, width: `${cell}px`, transform: `translate(${x}px,${y}px)` } });
      }
      return cells;
    });
    const focusable = computed(() => props.cursor ?? props.items[0]?.image_id);

    const measure = () => {
      if (!root.value) return;
      const box = root.value.getBoundingClientRect();
      width.value = box.width;
      top.value = box.top + window.scrollY;
      view.value = { from: window.scrollY - top.value, to: window.scrollY - top.value + window.innerHeight };
      if (props.more && view.value.to + AHEAD * window.innerHeight > height.value) emit("need-more");
    };
    let frame = 0;
    const onScroll = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        measure();
      });
    };
    const resize = new ResizeObserver(onScroll);
    onMounted(() => {
      resize.observe(root.value);
      window.addEventListener("scroll", onScroll, { passive: true });
      window.addEventListener("resize", onScroll);
      measure();
    });
    onBeforeUnmount(() => {
      resize.disconnect();
      cancelAnimationFrame(frame);
      window.removeEventListener("scroll", onScroll);
      window.removeEventListener("resize", onScroll);
    });
    watch(() => [props.items.length, props.size, props.more], () => nextTick(measure));

    const indexOf = (id) => props.items.findIndex((item) => item.image_id === id);
    /** Bring a cell into view below the fixed header, and give it the focus. */
    const reveal = async (index, { focus = true } = {}) => {
      const { columns, row } = layout.value;
      const y = top.value + Math.floor(index / columns) * row;
      const header = 120;
      if (y < window.scrollY + header) window.scrollTo(0, y - header);
      else if (y + row > window.scrollY + window.innerHeight) window.scrollTo(0, y + row - window.innerHeight + 8);
      measure();
      await nextTick();
      if (focus) root.value?.querySelector(`[data-index="${index}"]`)?.focus({ preventScroll: true });
    };
    /** Move the cursor by cells and rows; returns the new index. */
    const move = (cells, rowsBy = 0) => {
      const from = indexOf(props.cursor);
      const wanted = from < 0 ? 0 : from + cells + rowsBy * layout.value.columns;
      const index = Math.min(props.items.length - 1, Math.max(0, wanted));
      if (index < 0) return -1;
      emit("move", props.items[index]);
      reveal(index);
      return index;
    };
    const pageRows = () => Math.max(1, Math.floor(window.innerHeight / layout.value.row) - 1);
    expose({ move, reveal, indexOf, pageRows, measure });

    const onClick = (event, entry) => {
      if (event.shiftKey || event.ctrlKey || event.metaKey) {
        event.preventDefault();
        emit("pick", { item: entry.item, index: entry.index, range: event.shiftKey });
        return;
      }
      if (event.button !== 0) return;
      event.preventDefault();
      emit("open", entry.item);
    };
    const title = (item) =>
      [nameOf(item), words(item.verdict ?? item.state), item.p_value_words ? pValueLine(item.p_value_words) : "", item.simulated ? "simulated" : "", answerOf(item) ?? ""]
        .filter(Boolean)
        .join(" · ");
    const link = (item) => href(`/image/${item.image_id}`);
    const onPick = (event, entry) => emit("pick", { item: entry.item, index: entry.index, range: event.shiftKey });
    return { root, height, visible, layout, focusable, title, link, onClick, onPick, answerOf, nameOf };
  },
  template: `
    <div ref="root" class="grid" :class="'grid-' + size" :style="{ height: height + 'px' }" role="listbox" aria-multiselectable="true" aria-label="Images">
      <div v-for="entry in visible" :key="entry.item.image_id" class="cell" :style="entry.style" role="option"
           :aria-selected="String(selected.has(entry.item.image_id))" :aria-label="title(entry.item)" :aria-setsize="more ? -1 : items.length" :aria-posinset="entry.index + 1"
           :data-index="entry.index" :data-image="entry.item.image_id" :tabindex="entry.item.image_id === focusable ? 0 : -1"
           :class="['ring-' + (entry.item.verdict ?? 'none'), { picked: selected.has(entry.item.image_id), cursor: entry.item.image_id === cursor }]"
           @focus="$emit('move', entry.item)">
        <a class="thumb" :href="link(entry.item)" tabindex="-1" :title="title(entry.item)" @click="onClick($event, entry)">
          <img :src="entry.item.cutout" loading="lazy" decoding="async" draggable="false" alt="" width="256" height="256">
          <span v-if="entry.item.simulated" class="tag sim" title="Simulated sky">sim</span>
          <verdict-mark class="corner" :verdict="entry.item.verdict" :state="entry.item.state" bare/>
          <answer-mark v-if="answerOf(entry.item)" class="corner answer-corner" :answer="answerOf(entry.item)" bare/>
          <span class="hover-p num">{{ entry.item.p_value_words?.figure ?? 'not scored' }}</span>
        </a>
        <button type="button" class="pick" tabindex="-1" :aria-label="'Select ' + nameOf(entry.item)" :aria-pressed="String(selected.has(entry.item.image_id))" @click.stop="onPick($event, entry)">
          <svg viewBox="0 0 12 12" aria-hidden="true"><path d="M2.5 6.5 5 9 9.5 3.5" fill="none" stroke="currentColor" stroke-width="1.8"/></svg>
        </button>
        <div v-if="layout.caption" class="caption"><span class="name">{{ nameOf(entry.item) }}</span><span v-if="layout.caption > 30" class="muted num">{{ entry.item.survey }} · {{ entry.item.predicted_class ?? '–' }} · {{ entry.item.p_value_words?.figure ?? 'not scored' }}</span></div>
      </div>
    </div>`,
};
