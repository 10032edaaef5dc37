// Where images come from: one that is down is there, grey, with its reason.

import { TimeAgo } from "astrolens/js/parts.js";
import { count, words } from "astrolens/js/format.js";
import { href } from "astrolens/js/router.js";

const ALIVE = new Set(["running", "idle", "finished"]);

export const SourcesTable = {
  components: { TimeAgo },
  props: { sources: { type: Array, required: true } },
  setup() {
    const tone = (source) => (source.state === "misconfigured" ? "bad" : ALIVE.has(source.state) ? "good" : "away");
    const rate = (value) => (value >= 10 ? count(Math.round(value)) : Number(value ?? 0).toFixed(1));
    return { count, href, rate, tone, words };
  },
  template: `
    <div class="table-wrap">
      <table class="table stack">
        <caption class="visually-hidden">Sources of images</caption>
        <thead><tr><th scope="col">Source</th><th scope="col">State</th><th scope="col" class="right">Rate <small>/min</small></th><th scope="col" class="right">Delivered</th><th scope="col">Last success</th><th scope="col">Next try</th></tr></thead>
        <tbody>
          <tr v-for="one in sources" :key="one.source" :class="{ away: tone(one) === 'away' }">
            <th scope="row"><a :href="href('/gallery', { source: one.source, sort: 'newest' })" data-app>{{ one.source }}</a></th>
            <td data-head="State"><span class="state" :class="'s-' + tone(one)">{{ words(one.state) }}</span><span v-if="one.detail" class="reason">{{ one.detail }}</span></td>
            <td data-head="Rate /min" class="right num">{{ rate(one.rate_per_min) }}</td>
            <td data-head="Delivered" class="right num">{{ count(one.delivered) }}</td>
            <td data-head="Last success"><time-ago :at="one.last_success_at" never="not yet"/></td>
            <td data-head="Next try"><time-ago v-if="one.next_try_at" :at="one.next_try_at" past="due"/><span v-else class="muted">–</span></td>
          </tr>
        </tbody>
      </table>
    </div>`,
};
