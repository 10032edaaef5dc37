// A list of records that grows by pages: arrivals, alerts, dead letters.

import { onBeforeUnmount, ref, watch } from "vue";
import * as api from "astrolens/js/api.js";

const PAGE = 50;

/**
 * @param {Function} query returns `{path, query}` of the list, from reactive state
 */
export function useRecords(query) {
  const rows = ref([]);
  const next = ref(null);
  const total = ref(null);
  const state = ref("loading");
  const problem = ref("");
  let generation = 0;
  let retry = null;

  const load = async ({ more = false } = {}) => {
    const mine = more ? generation : (generation += 1);
    const { path, query: wanted } = query();
    clearTimeout(retry);
    if (!more) state.value = "loading";
    try {
      const page = await api.get(path, { ...wanted, limit: PAGE, after: more ? next.value : undefined });
      if (mine !== generation) return;
      rows.value = more ? [...rows.value, ...page.items] : page.items;
      next.value = page.next ?? null;
      total.value = page.total ?? null;
      state.value = "ready";
      problem.value = "";
    } catch (error) {
      if (mine !== generation) return;
      problem.value = error.message;
      state.value = "failed";
      if (error.transient) retry = setTimeout(() => load({ more }), 3000);
    }
  };
  watch(() => JSON.stringify(query()), () => {
    rows.value = [];
    load();
  }, { immediate: true });
  onBeforeUnmount(() => {
    generation += 1;
    clearTimeout(retry);
  });
  return { load, next, problem, rows, state, total };
}
