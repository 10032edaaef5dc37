// The books as one flow: every number leads to its list, and the sum is shown to hold.

import { computed } from "vue";
import { VerdictMark } from "astrolens/js/parts.js";
import { count } from "astrolens/js/format.js";
import { href } from "astrolens/js/router.js";

const receipts = (outcome) => href("/system", { list: "receipts", outcome });

export const BooksFlow = {
  components: { VerdictMark },
  props: { status: { type: Object, required: true } },
  setup(props) {
    const books = computed(() => props.status.books);
    const settled = computed(() => books.value.analyzed + books.value.duplicates + books.value.rejected + books.value.dead_lettered);
    const balanced = computed(() => books.value.received === settled.value + books.value.in_flight);
    const sum = computed(() =>
      `${count(books.value.received)} received = ${count(books.value.analyzed)} analysed + ${count(books.value.duplicates)} duplicate + ${count(books.value.rejected)} rejected + ${count(books.value.dead_lettered)} dead-lettered + ${count(books.value.in_flight)} in flight`);
    const aside = computed(() => [
      { key: "duplicates", word: "duplicate", help: "The same bytes as an earlier arrival: counted, not analysed again", to: receipts("duplicate") },
      { key: "rejected", word: "rejected", help: "No usable image; each with its reason", to: receipts("rejected") },
      { key: "dead_lettered", word: "dead-lettered", help: "No service could work on it; it waits for a person", to: href("/system", { list: "dead-letters" }), trouble: true },
      { key: "in_flight", word: "in flight", help: "On the way; waiting for a verdict", to: href("/gallery", { state: "ingested", sort: "newest" }) },
    ]);
    const verdicts = ["anomaly", "near_miss", "ordinary"];
    return { aside, balanced, books, count, href, receipts, sum, verdicts };
  },
  template: `
    <section class="flow" aria-label="The books">
      <a class="flow-step" :href="receipts('')" data-app title="Every arrival"><b class="num">{{ count(books.received) }}</b><span>received</span></a>
      <div class="flow-aside">
        <a v-for="one in aside" :key="one.key" :href="one.to" data-app :title="one.help" :class="{ zero: !books[one.key], trouble: one.trouble && books[one.key] }"><b class="num">{{ count(books[one.key]) }}</b> <span>{{ one.word }}</span></a>
      </div>
      <a class="flow-step" :href="href('/gallery')" data-app title="Images with a verdict"><b class="num">{{ count(books.analyzed) }}</b><span>analysed</span></a>
      <div class="flow-verdicts">
        <a v-for="verdict in verdicts" :key="verdict" :href="href('/gallery', { verdict })" data-app><b class="num">{{ count(status.verdicts[verdict] ?? 0) }}</b> <verdict-mark :verdict="verdict"/></a>
      </div>
      <a class="flow-step" :href="href('/system', { list: 'alerts' })" data-app title="Alerts raised for anomalies"><b class="num">{{ count(status.alerts ?? 0) }}</b><span>{{ status.alerts === 1 ? 'alert' : 'alerts' }}</span></a>
      <p class="flow-sum" :class="{ trouble: !balanced }" :title="sum"><svg viewBox="0 0 12 12" aria-hidden="true"><path v-if="balanced" d="M2 6.5 5 9.3 10 3" fill="none" stroke="currentColor" stroke-width="1.6"/><path v-else d="M3 3 9 9M9 3 3 9" fill="none" stroke="currentColor" stroke-width="1.6"/></svg>{{ balanced ? 'The books balance' : 'The books do not balance: ' + sum }}</p>
    </section>`,
};
