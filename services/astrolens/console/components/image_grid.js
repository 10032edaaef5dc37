// Any number of images, only the visible ones in the page; see images.py.

import { address, enter, flush, go, imageAddress, keep, query } from "astrolens-address";
import { AnswerButtons } from "astrolens-answering";
import { answerOf, disputed, give, many, nameOf, plural, toast } from "astrolens-answers";
import { BASE, call, parsed } from "astrolens-api";
import { bindKeys } from "astrolens-keys";
import { recall, renew } from "astrolens-list";
import { KeyButton, StateMark } from "astrolens-marks";
import { computed, defineComponent, nextTick, onBeforeUnmount, onMounted, ref, shallowRef, watch } from "vue";

/** @typedef {import("astrolens-types").ImageCard} ImageCard */

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
const MAX_IN_ADDRESS = 60;
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
    const given = { at: "", sel: "", ...query() };
    const path = `/images?${props.query}`;
    const root = ref(/** @type {HTMLElement | null} */ (null));
    /** Width of the list, its top on the page, and how far the window's top is below it. */
    const box = ref({ width: 0, top: 0, from: 0 });
    const list = shallowRef(recall(path, given.at));
    const { scroll } = list.value;
    const cursor = ref(given.at);
    const kept = given.sel === "kept" ? parsed(sessionStorage.getItem(SELECTED + props.query), []) : [];
    const selected = ref(new Set(/^(all|kept)?$/.test(given.sel) ? kept : given.sel.split(".")));
    /** How many match, where all that match are selected, however many; `exact` where they were counted one by one. */
    const all = ref(/** @type {{count: number | null, exact: boolean} | null} */ (null));
    /** The selection as addresses name it. */
    const sel = computed(() => {
      const chosen = [...selected.value];
      return all.value ? "all" : chosen.length > MAX_IN_ADDRESS ? "kept" : chosen.join(".");
    });
    /** The list as the page of an image is given it, and gives it back. */
    const here = computed(() => {
      const view = Object.entries({ sel: sel.value, size: props.size === "m" ? "" : props.size });
      const named = view.filter(([, value]) => value).map((each) => each.join("="));
      return [props.context, ...named].filter(Boolean).join("&");
    });
    let anchor = -1;

    const items = computed(() => list.value.state.items);
    const layout = computed(() => {
      const { width } = box.value;
      const { edge, caption } = SIZES[props.size] ?? SIZES.m;
      const small = width < 480 && props.size !== "s" ? Math.min(edge, (width - GAP) / 2) : edge;
      const columns = Math.max(1, Math.floor((width + GAP) / (small + GAP)));
      const cell = (width - GAP * (columns - 1)) / columns;
      const row = cell + caption + GAP;
      return { columns, cell, caption, row, height: Math.ceil(items.value.length / columns) * row };
    });
    const cells = computed(() => {
      const { columns, row } = layout.value;
      if (!box.value.width) return [];
      const first = Math.max(0, Math.floor(box.value.from / row) - OVERSCAN);
      const last = Math.max(0, Math.ceil((box.value.from + window.innerHeight) / row) + OVERSCAN);
      return items.value.slice(first * columns, last * columns).map((item, at) => ({
        ...{ item, index: first * columns + at, name: nameOf(item), answer: answerOf(item) },
        href: imageAddress(item.image_id, here.value),
        title: nameOf(item) + (item.simulated ? ", simulated" : ""),
        figure: item.p_value_words?.figure ?? "not scored",
        picked: all.value !== null || selected.value.has(item.image_id),
      }));
    });
    const style = computed(() => {
      const { columns, cell, row, height } = layout.value;
      const above = Math.floor((cells.value[0]?.index ?? 0) / columns) * row;
      const px = (/** @type {number} */ size) => `${size}px`;
      const ofCells = { "--columns": columns, "--cell": px(cell), "--row": px(row - GAP) };
      return { ...ofCells, height: px(height), paddingTop: px(above) };
    });
    const indexOf = (/** @type {string} */ id) => items.value.findIndex((item) => item.image_id === id);
    const atCursor = () => items.value.find((item) => item.image_id === cursor.value);

    const measure = () => {
      if (!root.value) return;
      const { width, top } = root.value.getBoundingClientRect();
      box.value = { width, top: top + window.scrollY, from: -top };
      list.value.scroll = window.scrollY;
      const { done, problem } = list.value.state;
      const near = (AHEAD + 1) * window.innerHeight - top > layout.value.height;
      if (near && !done && !problem) list.value.load();
    };
    /** Bring a cell into view below the header, and give it the focus. @param {number} index */
    const reveal = async (index) => {
      const { columns, row } = layout.value;
      const y = box.value.top + Math.floor(index / columns) * row;
      if (y < window.scrollY + COVERED_PX) window.scrollTo(0, y - COVERED_PX);
      else if (y + row > window.scrollY + window.innerHeight) window.scrollTo(0, y + row - window.innerHeight + 8);
      measure();
      await nextTick();
      const link = /** @type {HTMLElement | null} */ (root.value?.querySelector(`[data-index="${index}"] a`));
      link?.focus({ preventScroll: true });
    };
    const moved = new AbortController();
    /** Stay at a place: NiceGUI goes to the top of a page a moment after it has opened it. @param {number} place */
    const hold = (place) => {
      const { signal } = moved;
      const stay = () => window.scrollTo(0, place);
      stay();
      window.addEventListener("scroll", stay, { signal });
      setTimeout(() => moved.abort(), HELD_MS);
      for (const kind of ["wheel", "keydown", "pointerdown", "touchstart"])
        window.addEventListener(kind, () => moved.abort(), { signal });
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
      if (index < 0) return;
      onMove(items.value[index]);
      reveal(index);
    };
    const pageRows = () => Math.max(1, Math.floor(window.innerHeight / layout.value.row) - 1);

    /** @param {Set<string>} chosen */
    const select = (chosen) => {
      all.value = null;
      selected.value = chosen;
      if (sel.value === "kept") sessionStorage.setItem(SELECTED + props.query, JSON.stringify([...chosen]));
      keep({ sel: sel.value });
    };
    const selectAll = async () => {
      selected.value = new Set();
      all.value = { count: null, exact: false };
      keep({ sel: sel.value });
      try {
        const { total, total_is_exact } = await call(`${path}&limit=1`);
        if (all.value) all.value = { count: total, exact: total_is_exact };
      } catch (error) {
        toast(/** @type {Error} */ (error).message, true);
      }
    };
    if (given.sel === "all") selectAll();
    /** @param {number} index @param {boolean} [range] from the last that was chosen alone */
    const pick = (index, range = false) => {
      const next = new Set(selected.value);
      const { image_id } = items.value[index];
      if (range && anchor >= 0) {
        const [low, high] = [Math.min(anchor, index), Math.max(anchor, index)];
        for (const one of items.value.slice(low, high + 1)) next.add(one.image_id);
      } else {
        if (!next.delete(image_id)) next.add(image_id);
        anchor = index;
      }
      select(next);
      onMove(items.value[index]);
    };
    const clear = () => {
      anchor = -1;
      select(new Set());
    };
    /** @param {number} cells @param {number} [rows] */
    const extend = (cells, rows = 0) => {
      if (anchor < 0) anchor = Math.max(0, indexOf(cursor.value));
      move(cells, rows);
      if (items.value.length) pick(indexOf(cursor.value), true);
    };
    const targets = () => {
      if (!selected.value.size) return items.value.filter((item) => item.image_id === cursor.value);
      const loaded = new Map(items.value.map((item) => [item.image_id, item]));
      // One that this list has not read yet was selected when the address was copied.
      const unread = /** @type {any} */ ({ name: null, label: null, answers: {} });
      return [...selected.value].map((image_id) => loaded.get(image_id) ?? { ...unread, image_id });
    };
    const amount = computed(() => {
      if (!all.value) return `${many(selected.value.size)} selected`;
      const { count, exact } = all.value;
      const about = exact ? "" : "About ";
      return count === null ? "All that match selected" : `${about}${many(count)} selected, all that match`;
    });
    /** @param {import("astrolens-types").Answer} value @param {string[]} tags */
    const answer = (value, tags) => {
      const said = [value, ...tags].join(", ");
      const alone = !selected.value.size;
      if (all.value) {
        give(items.value, value, tags, { query: props.query, count: all.value.count ?? items.value.length });
        toast(`${amount.value.replace(" selected", "")}: ${said}. The header counts them down. Undo with u.`);
        return clear();
      }
      const chosen = targets();
      if (!chosen.length) return toast("Choose an image first: arrow keys move, x selects.");
      give(chosen, value, tags);
      toast(`${chosen.length === 1 ? nameOf(chosen[0]) : plural(chosen.length, "image")}: ${said}. Undo with u.`);
      if (alone) move(1);
      else clear();
    };
    const compare = () => {
      if (selected.value.size < 2 || selected.value.size > 4) toast("Select two to four images to compare them.");
      else go(address("/compare", { ids: [...selected.value].join(",") }));
    };
    /** A click on a cell chooses it, or NiceGUI opens the link. @param {MouseEvent} event @param {number} index */
    const onClick = (event, index) => {
      if (event.shiftKey || event.ctrlKey || event.metaKey) {
        event.preventDefault();
        return pick(index, event.shiftKey);
      }
      onMove(items.value[index]);
      flush();
    };
    const reload = () => {
      list.value = renew(path);
      cursor.value = "";
      keep({ at: "" });
      window.scrollTo(0, 0);
    };
    const open = () => go(imageAddress(cursor.value, here.value));
    bindKeys("Gallery", [
      ["ArrowRight j", "Next image", () => move(1)],
      ["ArrowLeft k", "Previous image", () => move(-1)],
      ["ArrowDown", "A row down", () => move(0, 1)],
      ["ArrowUp", "A row up", () => move(0, -1)],
      ["PageDown", "A screen down", () => move(0, pageRows())],
      ["PageUp", "A screen up", () => move(0, -pageRows())],
      ["Home", "First image", () => move(-items.value.length)],
      ["Enter", "Open the image", open, atCursor],
      ["x", "Select", () => pick(indexOf(cursor.value)), atCursor],
      ["Shift+ArrowRight", "Select on", () => extend(1)],
      ["Shift+ArrowLeft", "Select back", () => extend(-1)],
      ["Shift+ArrowDown", "Select a row on", () => extend(0, 1)],
      ["Shift+ArrowUp", "Select a row back", () => extend(0, -1)],
      ["a", "Select all that match", selectAll],
      ["Escape", "Back: select nothing", clear, () => selected.value.size || all.value],
      ["b", "Compare the selected", compare],
    ]);

    onMounted(async () => {
      measure();
      if (!items.value.length) await list.value.load();
      await nextTick();
      const index = indexOf(cursor.value);
      if (index >= 0) reveal(index);
      if (scroll || index >= 0) hold(scroll || window.scrollY);
    });
    onBeforeUnmount(() => moved.abort());
    // The window's width changes that of the list, which its observer tells.
    watch(() => [items.value, props.size, window.Quasar.Screen.height], measure, { flush: "post" });
    watch(
      () => props.size,
      (size) => keep({ size: size === "m" ? "" : size }),
    );
    expose({ reload });

    const fromStart = computed(() =>
      items.value.length && list.value.beginsThere ? address("/gallery", { ...given, at: "" }) : "",
    );
    const shown = {
      BASE,
      all,
      amount,
      cells,
      cursor,
      disputed,
      fromStart,
      items,
      layout,
      list,
      plural,
      root,
      selected,
      style,
    };
    return { ...shown, answer, clear, compare, measure, onClick, onMove, pick, selectAll };
  },
  template: `
    <div>
      <q-scroll-observer @scroll="measure"/>
      <p v-if="fromStart" class="banner quiet">The list starts near the image of this address. <a class="btn tiny" :href="fromStart">From the start</a></p>
      <slot v-if="list.state.done && !items.length"></slot>
      <div v-else-if="list.state.problem && !items.length" class="empty error" role="alert"><h2>The list cannot be read</h2><div class="empty-body">{{ list.state.problem }}</div></div>
      <div ref="root" class="grid" :class="['grid-' + size, { skeleton: !list.state.done && !items.length && !list.state.problem }]" :style="style" role="list" aria-label="Images">
        <q-resize-observer @resize="measure"/>
        <div v-for="{ item, index, ...cell } in cells" :key="item.image_id" class="cell" role="listitem" :aria-setsize="list.state.done ? items.length : -1" :aria-posinset="index + 1"
             :data-index="index" :data-image="item.image_id" :class="['ring-' + (item.verdict ?? 'none'), { picked: cell.picked, cursor: item.image_id === cursor }]">
          <a class="thumb" :href="cell.href" :tabindex="item.image_id === (cursor || items[0].image_id) ? 0 : -1" @click="onClick($event, index)" @focus="onMove(item)">
            <img :src="BASE + item.cutout_url" loading="lazy" decoding="async" draggable="false" :alt="cell.title" :title="cell.title" width="256" height="256">
            <span v-if="item.simulated" class="tag sim" aria-hidden="true">sim</span>
            <span v-if="item.object_images > 1" class="tag seen num">seen {{ item.object_images }}×</span>
            <state-mark class="corner" :state="item.verdict" bare/>
            <state-mark v-if="cell.answer" class="corner answer-corner" of="a" :state="cell.answer" :disputed="disputed(item)" bare/>
            <span class="hover-p num">{{ cell.figure }}</span>
          </a>
          <button type="button" class="pick" tabindex="-1" :aria-label="'Select ' + cell.name" :aria-pressed="String(cell.picked)" @click="pick(index, $event.shiftKey)">
            <svg viewBox="0 0 12 12" aria-hidden="true"><path d="M2.5 6.5 5 9 9.5 3.5" fill="none" stroke="currentColor" stroke-width="1.8"/></svg>
          </button>
          <div v-if="layout.caption" class="caption"><span class="name">{{ cell.name }}</span><span v-if="layout.caption > 30" class="muted num">{{ item.survey }} · {{ item.class ?? '–' }} · {{ cell.figure }}</span></div>
        </div>
      </div>
      <p v-if="items.length" class="list-end muted" role="status">{{ list.state.problem ? list.state.problem + ' Trying again.' : !list.state.done ? 'Loading more' : list.beginsThere ? 'The end of the list' : plural(items.length, 'image') + ': the whole list' }}</p>
      <div v-show="selected.size || all" class="batch" role="toolbar" aria-label="Answer for the selected images">
        <b class="num" :title="all ? 'Every image of this list, however many: answered 200 at a time, and taken back by undo' : null">{{ amount }}</b>
        <answer-buttons @answer="answer"/>
        <key-button k="b" label="compare" :disabled="selected.size < 2 || selected.size > 4" @press="compare"/>
        <key-button k="a" label="all that match" @press="selectAll"/>
        <key-button k="Escape" label="none" @press="clear"/>
      </div>
    </div>`,
});
