// Any number of images, only the visible ones in the page; see images.py.

import { address, enter, go, keep, query } from "astrolens-address";
import { AnswerButtons } from "astrolens-answering";
import { answerOf, disputed, give, giveList, nameOf, toast, undoLast } from "astrolens-answers";
import { BASE, call } from "astrolens-api";
import { bindKeys } from "astrolens-keys";
import { recall, renew } from "astrolens-list";
import { KeyButton, StateMark } from "astrolens-marks";
import { computed, defineComponent, nextTick, onBeforeUnmount, onMounted, ref, shallowRef, watch } from "vue";

/** @typedef {import("astrolens-types").ImageCard} ImageCard */
/** @typedef {{index: number, item: ImageCard}} Entry */

/** Smallest edge of a cell in CSS pixels, and the height of the caption under it. */
const SIZES = /** @type {Record<string, {edge: number, caption: number}>} */ ({
  s: { edge: 92, caption: 0 },
  m: { edge: 152, caption: 22 },
  l: { edge: 236, caption: 42 },
});
const GAP = 6;
/** Rows kept ready above and below what is seen: a flick of the wheel must not show holes. */
const OVERSCAN = 3;
/** The next page is asked for this many screens before the end. */
const AHEAD = 2;
/** What lies over the top of the page: the header, with some room. */
const COVERED_PX = 120;
/** More ids make an address too long for some servers; they are kept for this tab only. */
const MOST_IN_ADDRESS = 60;
const SELECTED = "astrolens.selected.";
/** Longest time until NiceGUI has gone to the top of a page that it opened; whoever moves meanwhile ends the wait. */
const HELD_MS = 3000;

export default defineComponent({
  components: { AnswerButtons, KeyButton, StateMark },
  props: {
    query: { type: String, required: true },
    size: { type: String, default: "m" },
    context: { type: String, default: "" },
    address: { type: String, required: true },
  },
  setup(props, { expose }) {
    enter(props.address);
    const given = query();
    const path = `/images?${props.query}`;
    const root = ref(/** @type {HTMLElement | null} */ (null));
    const width = ref(0);
    const top = ref(0);
    const view = ref({ from: 0, to: 800 });
    const list = shallowRef(recall(path, given.at));
    const cursor = ref(given.at ?? "");
    const selected = ref(new Set(given.sel && given.sel !== "all" ? given.sel.split(".") : []));
    if (given.sel === "kept")
      selected.value = new Set(JSON.parse(sessionStorage.getItem(SELECTED + props.query) ?? "[]"));
    /** How many match, where all that match are selected, however many; `exact` where they were counted one by one. */
    const all = ref(/** @type {{count: number | null, exact: boolean} | null} */ (null));
    let anchor = -1;

    const items = computed(() => list.value.state.items);
    const layout = computed(() => {
      const { edge, caption } = SIZES[props.size] ?? SIZES.m;
      const small = width.value < 480 && props.size !== "s" ? Math.min(edge, (width.value - GAP) / 2) : edge;
      const columns = Math.max(1, Math.floor((width.value + GAP) / (small + GAP)));
      const cell = (width.value - GAP * (columns - 1)) / columns;
      return { columns, cell, caption, row: cell + caption + GAP };
    });
    const height = computed(() => Math.max(0, Math.ceil(items.value.length / layout.value.columns) * layout.value.row));
    const visible = computed(() => {
      const { columns, cell, row } = layout.value;
      if (!width.value) return [];
      const first = Math.max(0, Math.floor(view.value.from / row) - OVERSCAN) * columns;
      const last = Math.min(items.value.length, (Math.ceil(view.value.to / row) + OVERSCAN) * columns);
      return items.value.slice(first, last).map((item, at) => {
        const index = first + at;
        const x = (index % columns) * (cell + GAP);
        const y = Math.floor(index / columns) * row;
        const style = { "--cell": `${cell}px`, width: `${cell}px`, transform: `translate(${x}px,${y}px)` };
        return { index, item, style };
      });
    });
    const focusable = computed(() => cursor.value || items.value[0]?.image_id);
    const indexOf = (/** @type {string} */ id) => items.value.findIndex((item) => item.image_id === id);
    const atCursor = () => items.value.find((item) => item.image_id === cursor.value);

    const measure = () => {
      if (!root.value) return;
      const box = root.value.getBoundingClientRect();
      width.value = box.width;
      top.value = box.top + window.scrollY;
      view.value = { from: window.scrollY - top.value, to: window.scrollY - top.value + window.innerHeight };
      const { done, problem } = list.value.state;
      if (!done && !problem && view.value.to + AHEAD * window.innerHeight > height.value) list.value.load();
    };
    let frame = 0;
    const onScroll = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        list.value.scroll = window.scrollY;
        measure();
      });
    };

    /** Bring a cell into view below the header, and give it the focus. @param {number} index */
    const reveal = async (index) => {
      const { columns, row } = layout.value;
      const y = top.value + Math.floor(index / columns) * row;
      if (y < window.scrollY + COVERED_PX) window.scrollTo(0, y - COVERED_PX);
      else if (y + row > window.scrollY + window.innerHeight) window.scrollTo(0, y + row - window.innerHeight + 8);
      measure();
      await nextTick();
      const link = /** @type {HTMLElement | null} */ (root.value?.querySelector(`[data-index="${index}"] a`));
      link?.focus({ preventScroll: true });
    };
    /** Stay at a place: NiceGUI goes to the top of a page a moment after it has opened it. @param {number} place */
    const hold = (place) => {
      const stop = new AbortController();
      setTimeout(() => stop.abort(), HELD_MS);
      for (const kind of ["wheel", "keydown", "pointerdown", "touchstart"]) {
        window.addEventListener(kind, () => stop.abort(), { once: true, signal: stop.signal });
      }
      const stay = () => {
        if (stop.signal.aborted || !root.value) return;
        if (Math.abs(window.scrollY - place) > 1) window.scrollTo(0, place);
        requestAnimationFrame(stay);
      };
      stay();
    };
    /** @param {ImageCard} item */
    const onMove = (item) => {
      if (cursor.value === item.image_id) return;
      cursor.value = item.image_id;
      keep({ at: item.image_id });
    };
    /** Move the cursor by cells and rows; returns the new index. @param {number} cells @param {number} [rows] */
    const move = (cells, rows = 0) => {
      const from = indexOf(cursor.value);
      const wanted = from < 0 ? 0 : from + cells + rows * layout.value.columns;
      const index = Math.min(items.value.length - 1, Math.max(0, wanted));
      if (index < 0) return -1;
      onMove(items.value[index]);
      reveal(index);
      return index;
    };
    const pageRows = () => Math.max(1, Math.floor(window.innerHeight / layout.value.row) - 1);

    /** @param {Set<string>} chosen */
    const select = (chosen) => {
      all.value = null;
      selected.value = chosen;
      const short = chosen.size <= MOST_IN_ADDRESS;
      if (!short) sessionStorage.setItem(SELECTED + props.query, JSON.stringify([...chosen]));
      keep({ sel: short ? [...chosen].join(".") : "kept" });
    };
    const selectAll = async () => {
      try {
        const { total, total_is_exact } = await call(`${path}&limit=1`);
        select(new Set());
        all.value = { count: total, exact: total_is_exact };
        keep({ sel: "all" });
      } catch (error) {
        toast(/** @type {Error} */ (error).message, true);
      }
    };
    if (given.sel === "all") selectAll();
    const marked = (/** @type {string} */ id) => all.value !== null || selected.value.has(id);
    /** @param {Entry} entry @param {boolean} range */
    const pick = ({ item, index }, range) => {
      const next = new Set(selected.value);
      if (range && anchor >= 0) {
        const [low, high] = [Math.min(anchor, index), Math.max(anchor, index)];
        for (const one of items.value.slice(low, high + 1)) next.add(one.image_id);
      } else {
        if (!next.delete(item.image_id)) next.add(item.image_id);
        anchor = index;
      }
      select(next);
      onMove(item);
    };
    const clear = () => {
      anchor = -1;
      select(new Set());
    };
    /** @param {number} cells @param {number} [rows] */
    const extend = (cells, rows = 0) => {
      if (anchor < 0) anchor = Math.max(0, indexOf(cursor.value));
      const index = move(cells, rows);
      if (index >= 0) pick({ item: items.value[index], index }, true);
    };
    const many = (/** @type {number} */ n) => n.toLocaleString("en-US");
    const targets = () => {
      if (!selected.value.size) return items.value.filter((item) => item.image_id === cursor.value);
      const loaded = new Map(items.value.map((item) => [item.image_id, item]));
      // One that this list has not read yet was selected when the address was copied.
      const unread = { name: null, label: null, answers: {} };
      return [...selected.value].map(
        (id) => loaded.get(id) ?? /** @type {ImageCard} */ (/** @type {unknown} */ ({ image_id: id, ...unread })),
      );
    };
    const amount = computed(() => {
      if (!all.value) return `${many(selected.value.size)} selected`;
      const { count, exact } = all.value;
      return count === null
        ? "All that match selected"
        : `${exact ? "" : "About "}${many(count)} selected, all that match`;
    });
    /** @param {import("astrolens-types").Answer} value @param {string[]} tags */
    const answer = (value, tags) => {
      const said = [value, ...tags].join(", ");
      const alone = !selected.value.size;
      if (all.value) {
        giveList(props.query, items.value, all.value.count ?? items.value.length, value, tags);
        toast(`${amount.value.replace(" selected", "")}: ${said}. The header counts them down. Undo with u.`);
        return clear();
      }
      const chosen = targets();
      if (!chosen.length) return toast("Choose an image first: arrow keys move, x selects.");
      give(chosen, value, tags);
      toast(`${chosen.length === 1 ? nameOf(chosen[0]) : `${chosen.length} images`}: ${said}. Undo with u.`);
      if (alone) move(1);
      else clear();
    };
    const compare = () => {
      if (selected.value.size < 2 || selected.value.size > 4) toast("Select two to four images to compare them.");
      else go(address("/compare", { ids: [...selected.value].join(",") }));
    };
    /** The page of an image, which goes on through this list. @param {ImageCard} item */
    const link = (item) => address(`/image/${item.image_id}`, Object.fromEntries(new URLSearchParams(props.context)));
    /** @param {MouseEvent} event @param {Entry} entry */
    const onClick = (event, entry) => {
      if (event.shiftKey || event.ctrlKey || event.metaKey) {
        event.preventDefault();
        event.stopPropagation();
        pick(entry, event.shiftKey);
        return;
      }
      onMove(entry.item);
      list.value.scroll = window.scrollY;
      // The address of this list must name the image before the next one takes its place.
      event.preventDefault();
      event.stopPropagation();
      go(link(entry.item));
    };
    const reload = () => {
      list.value = renew(path);
      cursor.value = "";
      keep({ at: "" });
      window.scrollTo(0, 0);
    };
    const toggle = () => {
      const item = atCursor();
      if (item) pick({ item, index: indexOf(item.image_id) }, false);
    };
    const open = () => {
      const item = atCursor();
      if (!item) return;
      list.value.scroll = window.scrollY;
      go(link(item));
    };
    const release = bindKeys("Gallery", [
      { keys: ["ArrowRight", "l"], label: "Next image", run: () => move(1) },
      { keys: ["ArrowLeft", "h"], label: "Previous image", run: () => move(-1) },
      { keys: ["ArrowDown", "j"], label: "A row down", run: () => move(0, 1) },
      { keys: ["ArrowUp", "k"], label: "A row up", run: () => move(0, -1) },
      { keys: ["PageDown"], label: "A screen down", run: () => move(0, pageRows()) },
      { keys: ["PageUp"], label: "A screen up", run: () => move(0, -pageRows()) },
      { keys: ["Home"], label: "First image", run: () => move(-items.value.length) },
      { keys: ["Enter"], label: "Open the image", when: atCursor, run: open },
      { keys: ["x", "space"], label: "Select", when: atCursor, run: toggle },
      { keys: ["Shift+ArrowRight"], label: "Select on", run: () => extend(1) },
      { keys: ["Shift+ArrowLeft"], label: "Select back", run: () => extend(-1) },
      { keys: ["Shift+ArrowDown"], label: "Select a row on", run: () => extend(0, 1) },
      { keys: ["Shift+ArrowUp"], label: "Select a row back", run: () => extend(0, -1) },
      { keys: ["a"], label: "Select all that match", run: selectAll },
      { keys: ["Escape"], label: "Select nothing", when: () => selected.value.size || all.value, run: clear },
      { keys: ["c"], label: "Compare the selected", run: compare },
      { keys: ["n"], label: "Read the list again", run: reload },
    ]);

    const resize = new ResizeObserver(onScroll);
    onMounted(async () => {
      resize.observe(/** @type {HTMLElement} */ (root.value));
      window.addEventListener("scroll", onScroll, { passive: true });
      window.addEventListener("resize", onScroll);
      measure();
      const { scroll } = list.value;
      if (!items.value.length) await list.value.load();
      await nextTick();
      const index = indexOf(cursor.value);
      if (index >= 0) reveal(index);
      if (scroll || index >= 0) hold(scroll || window.scrollY);
    });
    onBeforeUnmount(() => {
      release();
      resize.disconnect();
      cancelAnimationFrame(frame);
      window.removeEventListener("scroll", onScroll);
      window.removeEventListener("resize", onScroll);
    });
    watch(
      () => [items.value.length, props.size, list.value],
      () => nextTick(measure),
    );
    watch(
      () => props.size,
      (size) => keep({ size: size === "m" ? "" : size }),
    );
    expose({ reload });

    /** @param {ImageCard} item */
    const title = (item) => [nameOf(item), item.simulated ? "simulated" : ""].filter(Boolean).join(", ");
    const fromStart = computed(() =>
      items.value.length && list.value.beginsThere ? address("/gallery", { ...given, at: "" }) : "",
    );
    return {
      ...{ BASE, all, amount, answer, answerOf, clear, compare, cursor, disputed, focusable, fromStart, height, items },
      ...{
        layout,
        link,
        list,
        many,
        marked,
        nameOf,
        onClick,
        onMove,
        pick,
        root,
        selectAll,
        selected,
        title,
        undoLast,
      },
      ...{ visible },
    };
  },
  template: `
    <div>
      <p v-if="fromStart" class="banner quiet">The list starts at the image of this address. <a class="btn tiny" :href="fromStart">From the start</a></p>
      <slot v-if="list.state.done && !items.length"></slot>
      <div v-else-if="list.state.problem && !items.length" class="empty trouble" role="alert"><h2>The list cannot be read</h2><div class="empty-body">{{ list.state.problem }}</div></div>
      <div ref="root" class="grid" :class="['grid-' + size, { skeleton: !list.state.done && !items.length && !list.state.problem }]" :style="{ height: height + 'px' }" role="list" aria-label="Images">
        <div v-for="entry in visible" :key="entry.item.image_id" class="cell" :style="entry.style" role="listitem" :aria-setsize="list.state.done ? items.length : -1" :aria-posinset="entry.index + 1"
             :data-index="entry.index" :data-image="entry.item.image_id" :class="['ring-' + (entry.item.verdict ?? 'none'), { picked: marked(entry.item.image_id), cursor: entry.item.image_id === cursor }]">
          <a class="thumb" :href="link(entry.item)" :tabindex="entry.item.image_id === focusable ? 0 : -1" @click="onClick($event, entry)" @focus="onMove(entry.item)">
            <img :src="BASE + entry.item.cutout_url" loading="lazy" decoding="async" draggable="false" :alt="title(entry.item)" :title="title(entry.item)" width="256" height="256">
            <span v-if="entry.item.simulated" class="tag sim" aria-hidden="true">sim</span>
            <span v-if="(entry.item.object_images ?? 1) > 1" class="tag seen num">seen {{ entry.item.object_images }}×</span>
            <state-mark class="corner" :state="entry.item.verdict" bare/>
            <state-mark v-if="answerOf(entry.item)" class="corner answer-corner" of="a" :state="answerOf(entry.item)" :disputed="disputed(entry.item)" bare/>
            <span class="hover-p num">{{ entry.item.p_value_words?.figure ?? 'not scored' }}</span>
          </a>
          <button type="button" class="pick" tabindex="-1" :aria-label="'Select ' + nameOf(entry.item)" :aria-pressed="String(marked(entry.item.image_id))" @click="pick(entry, $event.shiftKey)">
            <svg viewBox="0 0 12 12" aria-hidden="true"><path d="M2.5 6.5 5 9 9.5 3.5" fill="none" stroke="currentColor" stroke-width="1.8"/></svg>
          </button>
          <div v-if="layout.caption" class="caption"><span class="name">{{ nameOf(entry.item) }}</span><span v-if="layout.caption > 30" class="muted num">{{ entry.item.survey }} · {{ entry.item.class ?? '–' }} · {{ entry.item.p_value_words?.figure ?? 'not scored' }}</span></div>
        </div>
      </div>
      <p v-if="items.length" class="list-end muted" role="status">{{ list.state.problem ? list.state.problem + ' Trying again.' : !list.state.done ? (list.state.loading ? 'Loading more' : '') : many(items.length) + (items.length === 1 ? ' image' : ' images') + ': the whole list' }}</p>
      <div v-show="selected.size || all" class="batch" role="toolbar" aria-label="Answer for the selected images">
        <b class="num" :title="all ? 'Every image of this list, however many: answered 200 at a time, and taken back by undo' : null">{{ amount }}</b>
        <answer-buttons @answer="answer" @undo="undoLast"/>
        <key-button k="c" label="compare" :disabled="selected.size < 2 || selected.size > 4" @press="compare"/>
        <key-button k="a" label="all that match" @press="selectAll"/>
        <key-button k="Escape" label="none" @press="clear"/>
      </div>
    </div>`,
});
