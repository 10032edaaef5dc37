// The morphology of a candidate: the numbers that astronomers compare galaxies by, and how far to trust them.

import { computed } from "vue";
import { figure, words } from "astrolens/js/format.js";

/** Field, name, and what it says. */
const ROWS = [
  ["concentration", "Concentration C", "5 log10(r80 / r20): large where the light is in the middle"],
  ["asymmetry", "Asymmetry A", "difference from itself turned by 180°: large for mergers"],
  ["smoothness", "Smoothness S", "light in clumps: large is clumpy"],
  ["gini", "Gini", "inequality of the pixels' light, 0 to 1"],
  ["m20", "M20", "second moment of the brightest 20 % of the light: near zero for several nuclei"],
  ["sersic_index", "Sérsic n", "1 is an exponential disc, 4 an elliptical"],
  ["ellipticity", "Ellipticity", "1 − b/a"],
  ["half_light_radius_px", "Half-light radius", "semi-major axis"],
  ["sn_per_pixel", "Signal to noise", "mean of its pixels"],
  ["ring_score", "Ring score", "largest rise of the profile's slope with radius: large for rings, lenses and plateaus"],
];
const TRUST = {
  good: "Statmorph reports no problem.",
  suspect: "Statmorph doubts it: the object touches another one, or its masks differ.",
  bad: "Statmorph calls it unreliable: there is no sky around the object, or a radius was not found.",
  fallback: "Statmorph failed; these are simple properties of the object's pixels.",
  failed: "Nothing was measured.",
};

export const MorphologyTable = {
  props: { morphology: { type: Object, required: true }, arcsec: { type: Number, default: null } },
  setup(props) {
    const shown = (name, value) => {
      if (name !== "half_light_radius_px") return figure(value);
      return props.arcsec ? `${figure(value)} px, ${figure(value * props.arcsec)}″` : `${figure(value)} px`;
    };
    const rows = computed(() =>
      ROWS.filter(([name]) => Number.isFinite(props.morphology[name])).map(([name, title, hint]) => ({
        name,
        title,
        hint,
        text: shown(name, props.morphology[name]),
        flag: name === "sersic_index" && props.morphology.sersic_quality !== "good" ? words(props.morphology.sersic_quality) : "",
      })),
    );
    return { rows, trust: computed(() => TRUST[props.morphology.quality] ?? ""), words };
  },
  template: `
    <p><b class="morphology-quality">{{ words(morphology.quality) }}</b> <span class="muted">{{ trust }}</span></p>
    <p v-if="morphology.detail" class="muted">{{ morphology.detail }}.</p>
    <dl v-if="rows.length" class="facts morphology-facts"><template v-for="one in rows" :key="one.name"><dt :title="one.hint">{{ one.title }}</dt><dd class="num" :title="one.hint">{{ one.text }}<span v-if="one.flag" class="muted"> ({{ one.flag }} fit)</span></dd></template></dl>
    <p v-if="rows.length" class="muted">Measured on the picture as it is shown (8 bits, stretched), not on calibrated flux: compare within one survey only.</p>`,
};
