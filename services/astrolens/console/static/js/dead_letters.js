// Dead letters: see one whole, send it again, drop it with a reason.

import { computed, ref, watch } from "vue";
import { Dialog } from "astrolens/js/overlay.js";
import { EmptyState, TimeAgo, toast } from "astrolens/js/parts.js";
import { count, words } from "astrolens/js/format.js";
import { useRecords } from "astrolens/js/records.js";
import { useKeys } from "astrolens/js/keys.js";
import { route, setQuery } from "astrolens/js/router.js";
import * as api from "astrolens/js/api.js";

/** Half-typed reasons survive a reload of the page. */
const DRAFT = "astrolens.draft.drop.";

/** Bytes in base64 as text where they are text, else as hexadecimal. */
export function readable(base64, limit = 4000) {
  let data;
  try {
    data = Uint8Array.from(window.atob(base64), (letter) => letter.charCodeAt(0));
  } catch {
    return "(not readable)";
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(data.slice(0, limit));
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  } catch {
    return [...data.slice(0, 512)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  }
}

export const DeadLetters = {
  components: { Dialog, EmptyState, TimeAgo },
  setup() {
    const state = computed(() => (route.query.state === "all" ? "" : (route.query.state ?? "open")));
    const list = useRecords(() => ({ path: "/dead-letters", query: { state: state.value } }));
    const busy = ref(false);
    const dropping = ref(null);
    const reason = ref("");
    const opened = computed(() => list.rows.value.find((one) => one.dead_letter_id === route.query.open) ?? null);
    const at = computed(() => list.rows.value.findIndex((one) => one.dead_letter_id === route.query.open));
    const show = (one) => setQuery({ open: one?.dead_letter_id === route.query.open ? "" : one?.dead_letter_id }, { replace: true });
    const move = (by) => show(list.rows.value[Math.max(0, Math.min(list.rows.value.length - 1, at.value + by))] ?? null);
    const act = async (letter, path, body, done) => {
      busy.value = true;
      try {
        await api.post(`/dead-letters/${api.segment(letter.dead_letter_id)}/${path}`, body);
        toast(done);
        setQuery({ open: "" }, { replace: true });
        await list.load();
      } catch (error) {
        toast(error.message, { trouble: true });
      } finally {
        busy.value = false;
      }
    };
    const resend = (letter) => act(letter, "resend", {}, "Sent again: it is back in the flow.");
    const ask = (letter) => {
      dropping.value = letter;
      reason.value = sessionStorage.getItem(DRAFT + letter.dead_letter_id) ?? "";
    };
    watch(reason, (text) => dropping.value && sessionStorage.setItem(DRAFT + dropping.value.dead_letter_id, text));
    const drop = async () => {
      const letter = dropping.value;
      if (reason.value.trim().length < 3) return;
      const text = reason.value.trim();
      dropping.value = null;
      sessionStorage.removeItem(DRAFT + letter.dead_letter_id);
      await act(letter, "drop", { reason: text }, "Dropped; the reason stays with it.");
    };
    useKeys("Dead letters", [
      { key: ["ArrowDown", "j"], label: "Next letter", run: () => move(1) },
      { key: ["ArrowUp", "k"], label: "Letter before", run: () => move(-1) },
      { key: "r", label: "Send the open letter again", when: () => opened.value?.state === "open", run: () => resend(opened.value) },
      { key: "d", label: "Drop the open letter", when: () => opened.value?.state === "open", run: () => ask(opened.value) },
      { key: "m", label: "More", when: () => list.next.value, run: () => list.load({ more: true }) },
      { key: "n", label: "Read the list again", run: () => list.load() },
    ]);
    return { ask, busy, count, drop, dropping, list, opened, readable, reason, resend, setQuery, show, state, words };
  },
  template: `
    <section class="panel" aria-labelledby="letters"><div class="section-head"><h2 id="letters">Dead letters<span v-if="list.total.value !== null" class="muted num"> {{ count(list.total.value) }}</span></h2>
        <label class="inline">State <select :value="state || 'all'" @change="setQuery({ state: $event.target.value, open: '' })"><option value="open">open</option><option value="resent">sent again</option><option value="dropped">dropped</option><option value="all">any</option></select></label></div>
      <empty-state v-if="list.state.value === 'failed'" title="The list cannot be read" trouble>{{ list.problem.value }}</empty-state>
      <p v-else-if="list.state.value === 'loading' && !list.rows.value.length" class="muted">Reading.</p>
      <empty-state v-else-if="!list.rows.value.length" :title="state === 'open' ? 'No dead letter waits' : 'No such dead letter'">A record that no service can use ends here, whole, until a person sends it again or drops it.</empty-state>
      <ul v-else class="letters"><li v-for="one in list.rows.value" :key="one.dead_letter_id" :class="{ opened: opened === one }">
        <button type="button" class="letter-head" :aria-expanded="String(opened === one)" @click="show(one)"><span class="state" :class="one.state === 'open' ? 's-bad' : 's-away'">{{ one.state === 'resent' ? 'sent again' : one.state }}</span><b>{{ one.error_type }}</b><span class="letter-error">{{ one.error }}</span><span class="muted">{{ one.service }} · <time-ago :at="one.dead_lettered_at"/></span></button>
        <div v-if="opened === one" class="letter-body">
          <dl class="facts"><dt>Topic</dt><dd class="mono">{{ one.topic }} <span class="num muted">partition {{ one.partition }}, offset {{ one.offset }}</span></dd><dt>Error</dt><dd>{{ one.error }}</dd><template v-if="one.key"><dt>Key</dt><dd class="mono">{{ readable(one.key) }}</dd></template><template v-if="one.note"><dt>Note</dt><dd>{{ one.note }}</dd></template>
            <template v-for="[name, value] in one.headers" :key="name"><dt>{{ name }}</dt><dd class="mono">{{ readable(value) }}</dd></template></dl>
          <pre tabindex="0" aria-label="The record’s bytes">{{ readable(one.body) }}</pre>
          <p v-if="one.state === 'open'" class="choices"><button type="button" class="btn primary" :disabled="busy" title="Send it again (r)" @click="resend(one)">Send again <kbd aria-hidden="true">r</kbd></button><button type="button" class="btn" :disabled="busy" title="Drop it (d)" @click="ask(one)">Drop <kbd aria-hidden="true">d</kbd></button></p>
        </div></li></ul>
      <p v-if="list.next.value" class="list-end"><button type="button" class="btn" title="More (m)" @click="list.load({ more: true })">More <kbd aria-hidden="true">m</kbd></button></p>
    </section>
    <Dialog v-if="dropping" title="Drop this dead letter" @close="dropping = null"><form class="drop" @submit.prevent="drop"><label for="drop-reason">Why? The reason stays with it.</label><input id="drop-reason" v-model="reason" autofocus required minlength="3" maxlength="500" autocomplete="off"><p class="choices"><button type="submit" class="btn primary" :disabled="reason.trim().length < 3">Drop</button><button type="button" class="btn" @click="dropping = null">Keep</button></p></form></Dialog>`,
};
