// The system: services, and the list behind every number of the books.

import { computed } from "vue";
import { AlertsList, ReceiptsList } from "astrolens/js/lists.js";
import { DeadLetters } from "astrolens/js/dead_letters.js";
import { EmptyState, TimeAgo } from "astrolens/js/parts.js";
import { SourcesTable } from "astrolens/js/sources.js";
import { BooksFlow } from "astrolens/js/flow.js";
import { count, duration, words } from "astrolens/js/format.js";
import { live } from "astrolens/js/live.js";
import { useKeys } from "astrolens/js/keys.js";
import { href, route, setQuery } from "astrolens/js/router.js";

const LISTS = [
  { name: "services", title: "Services" },
  { name: "receipts", title: "Arrivals" },
  { name: "alerts", title: "Alerts" },
  { name: "dead-letters", title: "Dead letters" },
];

export default {
  components: { AlertsList, BooksFlow, DeadLetters, EmptyState, ReceiptsList, SourcesTable, TimeAgo },
  setup() {
    const list = computed(() => (LISTS.some((one) => one.name === route.query.list) ? route.query.list : "services"));
    const services = computed(() => live.status?.services ?? []);
    const tone = (one) => (one.state === "running" && one.ready ? "good" : one.state === "starting" ? "wait" : one.state === "stopped" ? "away" : "bad");
    const errors = computed(() => services.value.flatMap((one) => one.last_errors.map((text) => ({ service: one.service, text }))));
    const info = (one) => Object.entries(one.info ?? {}).filter(([, value]) => ["number", "string", "boolean"].includes(typeof value)).map(([name, value]) => [name, String(value)]);
    const step = (by) => {
      const at = LISTS.findIndex((one) => one.name === list.value);
      setQuery({ list: LISTS[(at + by + LISTS.length) % LISTS.length].name, outcome: "", reason: "", open: "" });
    };
    useKeys("System", [
      { key: ["ArrowRight", "l"], label: "Next list", run: () => step(1) },
      { key: ["ArrowLeft", "h"], label: "List before", run: () => step(-1) },
    ]);
    const open = computed(() => live.status?.dead_letters_open ?? 0);
    return { LISTS, count, duration, errors, href, info, list, live, open, services, tone, words };
  },
  template: `
    <h1 class="visually-hidden">System</h1>
    <nav class="tabs" aria-label="Lists of the system"><a v-for="one in LISTS" :key="one.name" :href="href('/system', one.name === 'services' ? {} : { list: one.name })" data-app :aria-current="list === one.name ? 'page' : null">{{ one.title }}<b v-if="one.name === 'dead-letters' && open" class="num badge">{{ count(open) }}</b></a></nav>
    <template v-if="list === 'services'">
      <empty-state v-if="!live.status && live.problem" title="The state cannot be read" trouble>{{ live.problem }} This page tries again by itself.</empty-state>
      <template v-else-if="live.status">
        <section class="panel" aria-labelledby="services"><div class="section-head"><h2 id="services">Services</h2></div>
          <empty-state v-if="!services.length" title="No service has reported">Each reports every two seconds once it runs. <code>astrolens up</code> starts them all; <code>astrolens doctor</code> says what is wrong.</empty-state>
          <div v-else class="table-wrap"><table class="table stack"><caption class="visually-hidden">Services</caption>
            <thead><tr><th scope="col">Service</th><th scope="col">State</th><th scope="col" class="right">Processed</th><th scope="col" class="right">Waiting <small>records</small></th><th scope="col">Heard</th><th scope="col">Since</th><th scope="col">Version</th></tr></thead>
            <tbody><tr v-for="one in services" :key="one.service" :class="{ away: tone(one) === 'away' }">
              <th scope="row">{{ words(one.service) }}<span v-if="one.instances > 1" class="muted num"> × {{ one.instances }}</span></th>
              <td data-head="State"><span class="state" :class="'s-' + tone(one)">{{ words(one.state) }}{{ one.state === 'running' && !one.ready ? ', not ready' : '' }}</span><span v-if="one.detail" class="reason">{{ one.detail }}</span><span v-if="info(one).length" class="reason num"><template v-for="([name, value], index) in info(one)" :key="name">{{ index ? ' · ' : '' }}{{ words(name) }} <span :title="value">{{ value.length > 24 ? value.slice(0, 12) + '…' : value }}</span></template></span></td>
              <td data-head="Processed" class="right num">{{ count(one.processed) }}</td>
              <td data-head="Waiting" class="right num">{{ one.lag === null ? '–' : count(one.lag) }}</td>
              <td data-head="Heard"><time-ago :at="one.seen_at"/></td>
              <td data-head="Since"><time-ago :at="one.started_at"/></td>
              <td data-head="Version" class="num">{{ one.version }}</td></tr></tbody></table></div>
        </section>
        <section class="panel" aria-labelledby="errors"><div class="section-head"><h2 id="errors">Last errors</h2></div>
          <p v-if="!errors.length" class="muted">No service reports one.</p>
          <ul v-else class="errors"><li v-for="(one, index) in errors" :key="index"><b>{{ one.service }}</b> <code>{{ one.text }}</code></li></ul>
        </section>
        <section class="panel" aria-labelledby="sources"><div class="section-head"><h2 id="sources">Sources</h2></div><sources-table v-if="live.status.sources.length" :sources="live.status.sources"/><p v-else class="muted">No source reports; images come from uploads.</p></section>
      </template>
    </template>
    <template v-else><books-flow v-if="live.status" :status="live.status"/>
      <receipts-list v-if="list === 'receipts'"/><alerts-list v-else-if="list === 'alerts'"/><dead-letters v-else/></template>`,
};
