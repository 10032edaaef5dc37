// One box for everything that names an image: id, name, position.

import { computed, onBeforeUnmount, ref } from "vue";
import { VerdictMark, nameOf } from "astrolens/js/parts.js";
import * as api from "astrolens/js/api.js";
import { go, href } from "astrolens/js/router.js";
import { degrees, parsePosition } from "astrolens/js/sky.js";
import { findImages } from "astrolens/js/shapes.js";

const ID = /^[0-9a-f]{32}$/i;
/** Wide enough for a position typed from a paper, small enough to mean one object. */
export const CONE_ARCSEC = 60;
const PAUSE_MS = 160;
const SHOWN = 6;

/** What a text asks for: an image, a cone or a name. */
export function understand(text) {
  const given = text.trim();
  if (!given) return null;
  if (ID.test(given)) return { kind: "id", says: "this image", target: href(`/image/${given.toLowerCase()}`), query: { q: given } };
  const position = parsePosition(given);
  if (position) {
    const query = { ra_deg: position.ra.toFixed(6), dec_deg: position.dec.toFixed(6), radius_arcsec: CONE_ARCSEC };
    return { kind: "position", says: `within ${CONE_ARCSEC}″ of ${degrees(position.ra, position.dec)}`, target: href("/gallery", query), query };
  }
  return { kind: "name", says: `names with “${given}”`, target: href("/gallery", { q: given }), query: { q: given } };
}

export const SearchBox = {
  components: { VerdictMark },
  setup(props, { expose }) {
    const input = ref(null);
    const text = ref("");
    const found = ref([]);
    const open = ref(false);
    const active = ref(-1);
    const problem = ref("");
    const meant = computed(() => understand(text.value));
    let timer = null;
    let pending = null;

    const look = () => {
      clearTimeout(timer);
      pending?.abort();
      active.value = -1;
      if (!meant.value) {
        found.value = [];
        return;
      }
      timer = setTimeout(async () => {
        pending = new AbortController();
        try {
          const page = await findImages({ ...meant.value.query, sort: "newest", limit: SHOWN }, { signal: pending.signal });
          found.value = page.items;
          problem.value = "";
        } catch (error) {
          if (error.name === "AbortError") return;
          found.value = [];
          problem.value = error.message;
        }
      }, PAUSE_MS);
    };
    const leave = () => {
      open.value = false;
      input.value?.blur();
    };
    const choose = (target) => {
      leave();
      text.value = "";
      found.value = [];
      go(target);
    };
    const submit = () => {
      const item = found.value[active.value];
      if (item) choose(href(`/image/${item.image_id}`));
      else if (meant.value) choose(meant.value.target);
    };
    const onKey = (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        const step = event.key === "ArrowDown" ? 1 : -1;
        active.value = Math.max(-1, Math.min(found.value.length - 1, active.value + step));
      } else if (event.key === "Escape") {
        event.stopPropagation();
        leave();
      }
    };
    onBeforeUnmount(() => {
      clearTimeout(timer);
      pending?.abort();
    });
    expose({ focus: () => { input.value?.focus(); input.value?.select(); } });
    return { active, api, choose, found, href, input, look, meant, nameOf, onKey, open, problem, submit, text };
  },
  template: `
    <form class="search" role="search" @submit.prevent="submit" @focusout="open = $event.currentTarget.contains($event.relatedTarget)">
      <input ref="input" v-model="text" type="search" role="combobox" aria-label="Search: id, name or position" aria-keyshortcuts="/" aria-controls="search-found" :aria-expanded="String(open && !!meant)"
             :aria-activedescendant="active >= 0 ? 'found-' + active : null" aria-autocomplete="list" placeholder="id, name, 10.68 +41.27" autocomplete="off" spellcheck="false" enterkeyhint="search"
             @input="look(); open = true" @focus="open = true" @keydown="onKey">
      <kbd aria-hidden="true">/</kbd>
      <div v-if="open && meant" id="search-found" class="found" role="listbox" aria-label="Found">
        <a v-for="(item, index) in found" :id="'found-' + index" :key="item.image_id" role="option" tabindex="-1" :aria-selected="String(index === active)" :class="{ active: index === active }"
           :href="href('/image/' + item.image_id)" @mousedown.prevent @click.prevent="choose(href('/image/' + item.image_id))">
          <img :src="item.cutout" alt="" width="32" height="32"><span class="name">{{ nameOf(item) }}</span><verdict-mark :verdict="item.verdict" :state="item.state" bare/>
        </a>
        <p v-if="problem" class="muted">{{ problem }}</p>
        <a class="found-all" role="option" :aria-selected="String(active < 0)" tabindex="-1" :href="meant.target" @mousedown.prevent @click.prevent="choose(meant.target)"><kbd>Enter</kbd> {{ meant.says }}</a>
      </div>
    </form>`,
};
