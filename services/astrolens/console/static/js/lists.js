// The lists behind the books' numbers: arrivals and alerts.

import { computed } from "vue";
import { CopyButton, EmptyState, PFigure, TimeAgo, VerdictMark } from "astrolens/js/parts.js";
import { bytes, count, words } from "astrolens/js/format.js";
import { live } from "astrolens/js/live.js";
import { useRecords } from "astrolens/js/records.js";
import { useKeys } from "astrolens/js/keys.js";
import { href, route, setQuery } from "astrolens/js/router.js";
import * as api from "astrolens/js/api.js";

const OUTCOMES = ["received", "accepted", "duplicate", "rejected", "dead_lettered"];

export const ReceiptsList = {
  components: { CopyButton, EmptyState, TimeAgo },
  setup() {
    const wanted = computed(() => ({ outcome: route.query.outcome ?? "", reason: route.query.reason ?? "", source: route.query.source ?? "", batch: route.query.batch ?? "" }));
    const list = useRecords(() => ({ path: "/receipts", query: wanted.value }));
    const reasons = computed(() => Object.entries(live.status?.reasons ?? {}).sort((a, b) => b[1] - a[1]));
    useKeys("Arrivals", [{ key: "m", label: "More", when: () => list.next.value, run: () => list.load({ more: true }) }, { key: "n", label: "Read the list again", run: () => list.load() }]);
    return { OUTCOMES, bytes, count, href, list, reasons, setQuery, wanted, words };
  },
  template: `
    <section class="panel" aria-labelledby="receipts"><div class="section-head"><h2 id="receipts">Arrivals<span v-if="list.total.value !== null" class="muted num"> {{ count(list.total.value) }}</span></h2>
        <label class="inline">Outcome <select :value="wanted.outcome" @change="setQuery({ outcome: $event.target.value, reason: '' })"><option value="">any</option><option v-for="one in OUTCOMES" :key="one" :value="one">{{ words(one) }}</option></select></label>
        <label v-if="reasons.length" class="inline">Reason <select :value="wanted.reason" @change="setQuery({ reason: $event.target.value })"><option value="">any</option><option v-for="[code, n] in reasons" :key="code" :value="code">{{ words(code).replaceAll('-', ' ') }} ({{ count(n) }})</option></select></label></div>
      <empty-state v-if="list.state.value === 'failed'" title="The list cannot be read" trouble>{{ list.problem.value }}</empty-state>
      <p v-else-if="list.state.value === 'loading' && !list.rows.value.length" class="muted">Reading.</p>
      <empty-state v-else-if="!list.rows.value.length" :title="wanted.outcome ? 'No arrival was ' + words(wanted.outcome) : 'Nothing has arrived yet'"><template v-if="wanted.outcome || wanted.reason">That is what the books say too.</template><template v-else>Feed a folder with <code>astrolens ingest PATH</code>, or switch a source on.</template></empty-state>
      <div v-else class="table-wrap"><table class="table stack"><caption class="visually-hidden">Arrivals</caption><thead><tr><th scope="col">What</th><th scope="col">Outcome</th><th scope="col">Source</th><th scope="col" class="right">Size</th><th scope="col">Arrived</th></tr></thead>
        <tbody><tr v-for="one in list.rows.value" :key="one.receipt_id"><th scope="row" class="ref"><a v-if="one.image_id && one.outcome !== 'rejected'" :href="href('/image/' + one.image_id)" data-app>{{ one.name || one.ref }}</a><template v-else>{{ one.name || one.ref }}</template></th>
          <td data-head="Outcome"><span class="state" :class="{ 's-bad': one.outcome === 'dead_lettered', 's-away': one.outcome === 'rejected' || one.outcome === 'duplicate', 's-good': one.outcome === 'accepted', 's-wait': one.outcome === 'received' }">{{ words(one.outcome) }}</span><span v-if="one.reason" class="reason">{{ one.reason.detail }}</span></td>
          <td data-head="Source">{{ one.source }}</td><td data-head="Size" class="right num">{{ bytes(one.size_bytes) }}</td><td data-head="Arrived"><time-ago :at="one.received_at"/></td></tr></tbody></table></div>
      <p v-if="list.next.value" class="list-end"><button type="button" class="btn" title="More (m)" @click="list.load({ more: true })">More <kbd aria-hidden="true">m</kbd></button></p>
    </section>`,
};

export const AlertsList = {
  components: { CopyButton, EmptyState, PFigure, TimeAgo, VerdictMark },
  setup() {
    const list = useRecords(() => ({ path: "/alerts", query: { survey: route.query.survey ?? "" } }));
    useKeys("Alerts", [{ key: "m", label: "More", when: () => list.next.value, run: () => list.load({ more: true }) }, { key: "n", label: "Read the list again", run: () => list.load() }]);
    const tone = (state) => ({ delivered: "good", failed: "bad" })[state] ?? "wait";
    return { api, href, list, tone, words };
  },
  template: `
    <section class="panel" aria-labelledby="alerts"><div class="section-head"><h2 id="alerts">Alerts</h2></div>
      <empty-state v-if="list.state.value === 'failed'" title="The list cannot be read" trouble>{{ list.problem.value }}</empty-state>
      <p v-else-if="list.state.value === 'loading' && !list.rows.value.length" class="muted">Reading.</p>
      <empty-state v-else-if="!list.rows.value.length" title="No alert was raised yet">Every anomaly raises one, on the public topics and on the channels of <code>ASTROLENS_NOTIFY_URLS</code>.</empty-state>
      <div v-else class="table-wrap"><table class="table stack"><caption class="visually-hidden">Alerts</caption><thead><tr><th scope="col">Image</th><th scope="col">Verdict</th><th scope="col">Kind</th><th scope="col">Where to</th><th scope="col">Raised</th></tr></thead>
        <tbody><tr v-for="one in list.rows.value" :key="one.alert_id"><th scope="row"><a class="with-thumb" :href="href('/image/' + one.image_id)" data-app><img :src="api.local(one.cutout_url)" alt="" width="40" height="40" loading="lazy"><span>{{ one.survey }}<br><span class="muted">{{ words(one.class) }}</span></span></a></th>
          <td data-head="Verdict"><verdict-mark :verdict="one.verdict"/> <p-figure :said="one.p_value_words"/></td>
          <td data-head="Kind">{{ one.alert_type }}<span v-if="one.alert_tense !== 'current'" class="tag inj static">{{ one.alert_tense }}</span></td>
          <td data-head="Where to"><span class="mono">{{ one.topic ?? 'not public' }}</span><span v-for="each in one.deliveries" :key="each.channel" class="reason"><span class="state" :class="'s-' + tone(each.state)">{{ each.state }}</span> {{ each.channel }}<template v-if="each.error">: {{ each.error }}</template></span></td>
          <td data-head="Raised"><time-ago :at="one.raised_at"/></td></tr></tbody></table></div>
      <p v-if="list.next.value" class="list-end"><button type="button" class="btn" title="More (m)" @click="list.load({ more: true })">More <kbd aria-hidden="true">m</kbd></button></p>
    </section>`,
};
