// What the triage, image and compare pages share: the view's state, copying positions, the archives.

import { ref, watch } from "vue";
import { Dialog } from "astrolens/js/overlay.js";
import { CopyButton, KeyButton, copyText, toast } from "astrolens/js/parts.js";
import { archives, degrees, iauName, sexagesimal } from "astrolens/js/sky.js";
import { route, setQuerySoon } from "astrolens/js/router.js";
import { DEFAULT_VIEW, PERCENTILES, STRETCHES, queryOf, viewOf } from "astrolens/js/stretch.js";

/** The view of a picture, kept in the address. */
export function useView() {
  const view = ref(viewOf(route.query));
  const update = (next) => {
    view.value = next;
    setQuerySoon(queryOf(next));
  };
  const path = route.path;
  watch(() => route.query, (query) => {
    const next = viewOf(query);
    // Our own words, shortened for the address, come back here: they must not jerk the picture.
    if (route.path === path && JSON.stringify(queryOf(next)) !== JSON.stringify(queryOf(view.value))) view.value = next;
  });
  const cycle = (list, now, step = 1) => list[(list.indexOf(now) + step + list.length) % list.length];
  const change = (values) => update({ ...view.value, ...values });
  const actions = {
    stretch: () => change({ stretch: cycle(STRETCHES, view.value.stretch) }),
    percentile: () => change({ pct: cycle(PERCENTILES, view.value.pct) }),
    invert: () => change({ invert: !view.value.invert }),
    reset: () => update({ ...DEFAULT_VIEW }),
    // Three steps and back: enough to see a core or an arm, one key to return.
    zoom: () => change(view.value.zoom >= 8 ? { zoom: 1, cx: 0.5, cy: 0.5 } : { zoom: view.value.zoom < 2 ? 2 : view.value.zoom < 4 ? 4 : 8 }),
  };
  const bindings = [
    { key: "z", label: "Zoom: 1, 2, 4, 8 times", run: actions.zoom },
    { key: "s", label: "Stretch: linear, asinh, log", run: actions.stretch },
    { key: "p", label: "Clip at the next percentile", run: actions.percentile },
    { key: "i", label: "Invert", run: actions.invert },
    { key: "0", label: "The picture as it came", run: actions.reset },
  ];
  return { view, update, change, actions, bindings };
}

export const ViewBar = {
  components: { KeyButton },
  props: { view: { type: Object, required: true }, actions: { type: Object, required: true } },
  template: `
    <div class="viewbar" role="toolbar" aria-label="How the picture is shown">
      <key-button k="z" label="Zoom" :aria-label="'Zoom: ' + (view.zoom === 1 ? 'fit' : view.zoom.toFixed(1) + ' times')" @press="actions.zoom"><span class="num">{{ view.zoom === 1 ? 'fit' : view.zoom.toFixed(view.zoom < 10 ? 1 : 0) + '×' }}</span></key-button>
      <key-button k="s" label="Stretch" :aria-label="'Stretch: ' + view.stretch" @press="actions.stretch">{{ view.stretch }}</key-button>
      <key-button k="p" label="Clip at percentile" :aria-label="'Clip: ' + (view.pct === 100 ? 'none' : view.pct + ' %')" @press="actions.percentile"><span class="num">{{ view.pct === 100 ? 'no clip' : view.pct + ' %' }}</span></key-button>
      <key-button k="i" label="Invert" :pressed="view.invert" @press="actions.invert">invert</key-button>
      <key-button k="0" label="The picture as it came" @press="actions.reset">reset</key-button>
    </div>`,
};

const FORMS = [
  { name: "degrees", of: degrees },
  { name: "sexagesimal", of: sexagesimal },
  { name: "IAU", of: iauName },
];

/** Copy the position; pressing again within a while gives the next way of writing it. */
export function useCopyPosition(item) {
  let turn = 0;
  let last = 0;
  return async () => {
    const { ra_deg: ra, dec_deg: dec } = item() ?? {};
    if (ra == null || dec == null) {
      toast("This image came without a position.");
      return;
    }
    turn = Date.now() - last < 5000 ? (turn + 1) % FORMS.length : 0;
    last = Date.now();
    const text = FORMS[turn].of(ra, dec);
    toast((await copyText(text)) ? `Copied ${text} (${FORMS[turn].name}). Again for ${FORMS[(turn + 1) % FORMS.length].name}.` : `This browser does not let pages copy: ${text}`);
  };
}

/** The position in three ways of writing, each with its copy button. */
export const PositionFacts = {
  components: { CopyButton },
  props: { ra: { type: Number, default: null }, dec: { type: Number, default: null } },
  setup: () => ({ FORMS }),
  template: `
    <template v-if="ra !== null && dec !== null"><template v-for="(form, index) in FORMS" :key="form.name">
      <dt>{{ index ? '' : 'Position' }}<span v-if="index" class="visually-hidden">Position, {{ form.name }}</span></dt>
      <dd class="num mono">{{ form.of(ra, dec) }} <copy-button :text="form.of(ra, dec)" :label="'copy'"/></dd></template></template>
    <template v-else><dt>Position</dt><dd class="muted">not known: the image came without one</dd></template>`,
};

export const ArchiveLinks = {
  props: { item: { type: Object, required: true } },
  setup: () => ({ archives }),
  template: `
    <p v-if="item.ra_deg == null" class="muted">The archives are searched by position, and this image came without one.</p>
    <template v-else>
      <p v-if="item.simulated" class="muted">This sky is simulated: its positions are invented, so the archives show something else there.</p>
      <ul class="links"><li v-for="one in archives(item.ra_deg, item.dec_deg)" :key="one.name"><a class="btn" :href="one.url" target="_blank" rel="noopener noreferrer">{{ one.name }} <span aria-hidden="true">↗</span><span class="visually-hidden">(opens a new tab)</span></a></li></ul>
    </template>`,
};

export const ArchivesDialog = {
  components: { ArchiveLinks, Dialog },
  props: { item: { type: Object, required: true } },
  emits: ["close"],
  template: `<Dialog title="Open in the archives" @close="$emit('close')"><archive-links :item="item"/></Dialog>`,
};
