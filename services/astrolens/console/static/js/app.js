// The console: header, search, keys, and the page that the address names.

import { computed, defineAsyncComponent, nextTick, onMounted, ref, watch } from "vue";
import * as api from "astrolens/js/api.js";
import * as answersStore from "astrolens/js/answers.js";
import { KeyOverlay, Toasts } from "astrolens/js/overlay.js";
import { SearchBox } from "astrolens/js/search.js";
import * as keys from "astrolens/js/keys.js";
import * as liveStore from "astrolens/js/live.js";
import * as router from "astrolens/js/router.js";
import { count } from "astrolens/js/format.js";

const lazy = (name) => defineAsyncComponent(() => import(`astrolens/js/pages/${name}.js`));

const PAGES = {
  tonight: lazy("tonight"),
  model: lazy("model"),
  login: lazy("login"),
};

const NAV = [
  { name: "tonight", path: "/", title: "Tonight", key: "Shift+T" },
  { name: "gallery", path: "/gallery", title: "Gallery", key: "Shift+G" },
  { name: "triage", path: "/triage", title: "Triage", key: "Shift+R" },
  { name: "model", path: "/model", title: "Model", key: "Shift+M" },
  { name: "system", path: "/system", title: "System", key: "Shift+S" },
];

/** Which page an address names, with what its path says. */
export function pageOf(path) {
  if (path === "/") return { name: "tonight", props: {} };
  const name = path.slice(1);
  return { name: name in PAGES ? name : "missing", props: {} };
}

export default {
  components: { KeyOverlay, SearchBox, Toasts },
  props: { base: { type: String, default: "" }, elsewhere: { type: Array, default: () => [] } },
  setup(props) {
    router.start(props.base, props.elsewhere);
    keys.listen();
    const page = computed(() => pageOf(router.route.path));
    const component = computed(() => PAGES[page.value.name] ?? null);
    const bare = computed(() => page.value.name === "login");
    if (!bare.value) {
      liveStore.start();
      answersStore.start();
    }
    const session = ref(null);
    if (!bare.value) api.get("/session").then((found) => { session.value = found; }, () => {});
    const logout = async () => {
      await api.post("/logout").catch(() => null);
      window.location.assign(router.href("/login"));
    };
    const overlay = ref(false);
    const search = ref(null);
    const { live } = liveStore;
    const { answers } = answersStore;

    keys.useKeys("Everywhere", [
      { key: "?", label: "Show or hide these keys", run: () => { overlay.value = !overlay.value; } },
      { key: "/", label: "Search: id, name or position", run: () => search.value?.focus() },
      ...NAV.map((entry) => ({ key: entry.key, label: `Go to ${entry.title}`, run: () => router.go(router.href(entry.path)) })),
    ]);

    const trouble = computed(() => live.problem ?? (live.since && !live.connected ? "Live updates are interrupted; trying again." : null));
    watch(() => page.value.name, async (name) => {
      const entry = NAV.find((one) => one.name === name);
      document.title = `${entry?.title ?? (name === "missing" ? "Not found" : name[0].toUpperCase() + name.slice(1))} · AstroLens`;
      await nextTick();
    }, { immediate: true });
    onMounted(() => document.documentElement.classList.add("al-ready"));

    return { NAV, answers, bare, component, count, follow: router.follow, href: router.href, live, logout, overlay, page, route: router.route, search, session, trouble };
  },
  template: `
    <div class="al" @click="follow">
      <a class="skip" href="#main">Skip to the content</a>
      <header v-if="!bare" class="top">
        <a class="brand" :href="href('/')" data-app aria-label="AstroLens, tonight">
          <svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="8.5" fill="none" stroke="currentColor" stroke-width="1.6"/><path d="M12 5.5 13.4 10.6 18.5 12 13.4 13.4 12 18.5 10.6 13.4 5.5 12 10.6 10.6Z" fill="currentColor"/></svg>
          <span>AstroLens</span>
        </a>
        <nav aria-label="Pages">
          <a v-for="entry in NAV" :key="entry.name" :href="href(entry.path)" data-app :aria-current="page.name === entry.name ? 'page' : null" :title="entry.title + ' (' + entry.key + ')'" :aria-keyshortcuts="entry.key">{{ entry.title }}</a>
        </nav>
        <search-box ref="search"/>
        <div class="top-state">
          <span v-if="answers.unsent" class="unsent num" role="status" :title="answers.problem || 'On their way to the record store'">{{ count(answers.unsent) }} unsent</span>
          <span class="pulse" :class="{ on: live.connected }" role="img" :aria-label="live.connected ? 'Live' : 'Not live'" :title="live.connected ? 'Live updates' : (trouble || 'Connecting')"></span>
          <button v-if="session?.login_needed" type="button" class="btn tiny" :title="'Logged in as ' + session.user" @click="logout">Log out</button>
          <button type="button" class="btn tiny" aria-label="Keys" title="Keys (?)" aria-keyshortcuts="?" @click="overlay = !overlay">?</button>
        </div>
      </header>
      <div v-if="!bare" class="notices" role="status"><p v-if="answers.problem || trouble">{{ answers.problem || trouble }}</p></div>
      <div id="main" class="page" :class="'page-' + page.name" tabindex="-1">
        <component v-if="component" :is="component" v-bind="page.props" :key="page.name"/>
        <div v-else class="empty"><h1>There is no page here</h1><p>The address <code>{{ route.path }}</code> names none. <a :href="href('/')" data-app>Tonight</a> is the first page.</p></div>
      </div>
      <key-overlay v-if="overlay" @close="overlay = false"/>
      <toasts/>
    </div>`,
};
