// The gallery: every image, filtered and sorted by the address, answered in batches.

import { computed, nextTick, onBeforeUnmount, onMounted, ref, shallowRef, watch } from "vue";
import { ANSWERS, EmptyState, KeyButton, nameOf, toast } from "astrolens/js/parts.js";
import { give, undoLast } from "astrolens/js/answers.js";
import { count, words } from "astrolens/js/format.js";
import { FilterBar } from "astrolens/js/filters.js";
import { ImageGrid, SIZES } from "astrolens/js/grid.js";
import { live, onLive } from "astrolens/js/live.js";
import { useKeys } from "astrolens/js/keys.js";
import { go, href, rememberedScroll, route, setQuery, setQuerySoon } from "astrolens/js/router.js";
import { FILTERS, findImages, imageQuery } from "astrolens/js/shapes.js";

const PAGE = 120;
/** Lists kept so that going back shows the same list at the same place at once. */
const KEPT = 6;
const kept = new Map();

function recall(key) {
  const list = kept.get(key) ?? { items: [], next: null, done: false, fresh: 0, analyzed: null };
  kept.delete(key);
  kept.set(key, list);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  return list;
}

export default {
  components: { EmptyState, FilterBar, ImageGrid, KeyButton },
  setup() {
    const grid = ref(null);
    const list = shallowRef(null);
    const loading = ref(false);
    const problem = ref("");
    const selected = ref(new Set());
    const cursor = ref(route.query.at ?? null);
    const version = ref(0);
    let anchor = -1;
    let pending = null;

    const key = computed(() => JSON.stringify([imageQuery(route.query), route.query.from ?? ""]));
    const size = computed(() => (route.query.size in SIZES ? route.query.size : "m"));
    const filtered = computed(() => FILTERS.some((name) => route.query[name]));
    const items = computed(() => (version.value, list.value?.items ?? []));
    const more = computed(() => (version.value, list.value ? !list.value.done : false));
    const fresh = computed(() => (version.value, list.value?.fresh ?? 0));

    const load = async () => {
      const mine = list.value;
      if (!mine || mine.done || loading.value) return;
      loading.value = true;
      pending = new AbortController();
      try {
        const after = mine.next ?? route.query.from;
        const page = await findImages({ ...imageQuery(route.query), limit: PAGE, after }, { signal: pending.signal });
        const known = new Set(mine.items.map((item) => item.image_id));
        mine.items = [...mine.items, ...page.items.filter((item) => !known.has(item.image_id)).map((item) => ({ ...item, page: after ?? "" }))];
        mine.next = page.next;
        mine.done = page.next === null;
        problem.value = "";
        version.value += 1;
      } catch (error) {
        if (error.name !== "AbortError") {
          problem.value = error.message;
          if (error.transient) setTimeout(() => list.value === mine && load(), 3000);
        }
      } finally {
        loading.value = false;
      }
      if (list.value !== mine) load();
    };
    const open = async () => {
      pending?.abort();
      selected.value = new Set();
      anchor = -1;
      problem.value = "";
      list.value = recall(key.value);
      version.value += 1;
      if (!list.value.items.length) await load();
      await nextTick();
      const scroll = rememberedScroll();
      if (scroll) window.scrollTo(0, scroll);
      else if (cursor.value) {
        const index = items.value.findIndex((item) => item.image_id === cursor.value);
        if (index >= 0) grid.value?.reveal(index);
      }
    };
    watch(key, open);
    onMounted(open);
    onBeforeUnmount(() => pending?.abort());
    watch(() => route.query.at, (at) => {
      cursor.value = at ?? null;
    });

    const reload = () => {
      kept.delete(key.value);
      open();
      window.scrollTo(0, 0);
    };
    // A list that moves under the eyes is useless: new images are offered, not pushed in.
    onLive("status", () => {
      const mine = list.value;
      if (!mine || route.query.from) return;
      mine.analyzed ??= live.status.books.analyzed;
      const since = Math.max(0, live.status.books.analyzed - mine.analyzed);
      if (since === mine.fresh) return;
      mine.fresh = since;
      version.value += 1;
    });

    const onMove = (item) => {
      if (cursor.value === item.image_id) return;
      cursor.value = item.image_id;
      setQuerySoon({ at: item.image_id, from: item.page });
    };
    const openImage = (item) => {
      onMove(item);
      go(href(`/image/${item.image_id}`));
    };
    const pick = ({ item, index, range }) => {
      const next = new Set(selected.value);
      if (range && anchor >= 0) {
        for (let i = Math.min(anchor, index); i <= Math.max(anchor, index); i += 1) next.add(items.value[i].image_id);
      } else {
        if (next.has(item.image_id)) next.delete(item.image_id);
        else next.add(item.image_id);
        anchor = index;
      }
      selected.value = next;
      onMove(item);
    };
    const extend = (cells, rows = 0) => {
      const from = grid.value.indexOf(cursor.value);
      if (anchor < 0) anchor = Math.max(0, from);
      const index = grid.value.move(cells, rows);
      if (index >= 0) pick({ item: items.value[index], index, range: true });
    };
    const targets = () => {
      if (selected.value.size) return items.value.filter((item) => selected.value.has(item.image_id));
      const one = items.value.find((item) => item.image_id === cursor.value);
      return one ? [one] : [];
    };
    const answer = (value) => {
      const chosen = targets();
      if (!chosen.length) {
        toast("Choose an image first: arrow keys move, x selects.");
        return;
      }
      const alone = !selected.value.size;
      give(chosen, value);
      toast(`${chosen.length === 1 ? nameOf(chosen[0]) : `${count(chosen.length)} images`}: ${value}. Undo with u.`);
      selected.value = new Set();
      if (alone) grid.value?.move(1);
    };
    const undo = () => {
      const step = undoLast();
      toast(step ? `Undone: ${step.length === 1 ? (step[0].name ?? step[0].image_id.slice(0, 12)) : `${count(step.length)} images`}.` : "Nothing to undo.");
    };
    const compare = () => {
      const chosen = [...selected.value];
      if (chosen.length < 2 || chosen.length > 4) toast("Select two to four images to compare them.");
      else go(href("/compare", { ids: chosen.join(",") }));
    };
    const resize = (step) => {
      const names = Object.keys(SIZES);
      setQuery({ size: names[Math.max(0, Math.min(names.length - 1, names.indexOf(size.value) + step))] }, { replace: true });
    };
    const clear = () => {
      selected.value = new Set();
      anchor = -1;
    };
    const atCursor = () => items.value.find((item) => item.image_id === cursor.value);
    useKeys("Gallery", [
      { key: ["ArrowRight", "l"], label: "Next image", run: () => grid.value?.move(1) },
      { key: ["ArrowLeft", "h"], label: "Previous image", run: () => grid.value?.move(-1) },
      { key: ["ArrowDown", "j"], label: "A row down", run: () => grid.value?.move(0, 1) },
      { key: ["ArrowUp", "k"], label: "A row up", run: () => grid.value?.move(0, -1) },
      { key: "PageDown", label: "A screen down", run: () => grid.value?.move(0, grid.value.pageRows()) },
      { key: "PageUp", label: "A screen up", run: () => grid.value?.move(0, -grid.value.pageRows()) },
      { key: "Home", label: "First image", run: () => grid.value?.move(-items.value.length) },
      { key: "Enter", label: "Open the image", when: () => atCursor(), run: () => openImage(atCursor()) },
      { key: ["x", "space"], label: "Select", when: () => atCursor(), run: () => pick({ item: atCursor(), index: grid.value.indexOf(cursor.value), range: false }) },
      { key: "Shift+ArrowRight", label: "Select on", run: () => extend(1) },
      { key: "Shift+ArrowLeft", label: "Select back", run: () => extend(-1) },
      { key: "Shift+ArrowDown", label: "Select a row on", run: () => extend(0, 1) },
      { key: "Shift+ArrowUp", label: "Select a row back", run: () => extend(0, -1) },
      { key: "a", label: "Select everything loaded", run: () => { selected.value = new Set(items.value.map((item) => item.image_id)); } },
      { key: "Escape", label: "Select nothing", when: () => selected.value.size, run: clear },
      ...ANSWERS.map((one) => ({ key: one.key, label: `Answer ${one.word}`, run: () => answer(one.value) })),
      { key: "u", label: "Undo the last answer", run: undo },
      { key: "c", label: "Compare the selected", run: compare },
      { key: ["+", "="], label: "Larger pictures", run: () => resize(1) },
      { key: "-", label: "Smaller pictures", run: () => resize(-1) },
      { key: "n", label: "Read the list again", run: reload },
      { key: "t", label: "Triage this list", run: () => go(href("/triage", triageQuery())) },
    ]);
    const triageQuery = () => Object.fromEntries([...FILTERS, "sort"].map((name) => [name, route.query[name]]));
    const reset = () => go(href("/gallery", { size: route.query.size }));
    const fromStart = () => setQuery({ from: "", at: "" });
    return { ANSWERS, answer, clear, compare, count, cursor, filtered, fresh, fromStart, grid, href, items, load, loading, more, onMove, openImage, pick, problem, reload, reset, route, selected, setQuery, size, undo, words, list };
  },
  template: `
    <h1 class="visually-hidden">Gallery</h1>
    <filter-bar :size="size"/>
    <p v-if="route.query.from" class="banner quiet">The list starts where this address was copied. <button type="button" class="btn tiny" @click="fromStart">From the start</button></p>
    <p v-if="fresh" class="banner quiet" role="status">{{ count(fresh) }} analysed since this list was read. <button type="button" class="btn tiny" title="Read the list again (n)" @click="reload">Read again <kbd aria-hidden="true">n</kbd></button></p>
    <image-grid v-if="items.length" ref="grid" :items="items" :size="size" :selected="selected" :cursor="cursor" :more="more" @need-more="load" @move="onMove" @pick="pick" @open="openImage"/>
    <empty-state v-else-if="problem" title="The list cannot be read" trouble>{{ problem }}</empty-state>
    <empty-state v-else-if="!more && filtered" title="No image fits these filters"><p>Widen them, or start over.</p><button type="button" class="btn" @click="reset">Clear the filters</button></empty-state>
    <empty-state v-else-if="!more && list" title="There are no images yet"><p>They come from a source (see <a :href="href('/')" data-app>Tonight</a>) or from you: <code>astrolens ingest PATH</code>.</p></empty-state>
    <p v-if="items.length" class="list-end muted" role="status"><template v-if="problem">{{ problem }} Trying again.</template><template v-else-if="more">{{ loading ? 'Loading more' : '' }}</template><template v-else>{{ count(items.length) }} {{ items.length === 1 ? 'image' : 'images' }}: the whole list</template></p>
    <div v-if="selected.size" class="batch" role="toolbar" aria-label="Answer for the selected images">
      <b class="num">{{ count(selected.size) }} selected</b>
      <key-button v-for="one in ANSWERS" :key="one.value" :k="one.key" :label="one.word" @press="answer(one.value)"/>
      <key-button k="c" label="compare" :disabled="selected.size < 2 || selected.size > 4" @press="compare"/>
      <button type="button" class="btn" title="Select nothing (Esc)" @click="clear">none <kbd aria-hidden="true">Esc</kbd></button>
    </div>`,
};
