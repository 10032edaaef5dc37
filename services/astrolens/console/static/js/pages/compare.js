// Two to four images side by side, one zoom and one stretch for all.

import { computed, ref, watch } from "vue";
import { AnswerMark, EmptyState, PFigure, VerdictMark, answerOf, nameOf } from "astrolens/js/parts.js";
import { ViewBar, useView } from "astrolens/js/tools.js";
import { words } from "astrolens/js/format.js";
import { detectorTitle } from "astrolens/js/distribution.js";
import { ImageViewer } from "astrolens/js/viewer.js";
import { useKeys } from "astrolens/js/keys.js";
import { href, route, setQuery } from "astrolens/js/router.js";
import { imageOf } from "astrolens/js/shapes.js";
import * as api from "astrolens/js/api.js";

export default {
  components: { AnswerMark, EmptyState, ImageViewer, PFigure, VerdictMark, ViewBar },
  setup() {
    const images = ref([]);
    const { view, update, actions, bindings } = useView();
    const ids = computed(() => [...new Set((route.query.ids ?? "").split(",").filter(Boolean))].slice(0, 4));
    let generation = 0;
    const load = async () => {
      const mine = (generation += 1);
      const found = await Promise.allSettled(ids.value.map((id) => api.get(`/images/${api.segment(id)}`)));
      if (mine !== generation) return;
      images.value = found.map((one, index) => (one.status === "fulfilled" ? { id: ids.value[index], item: imageOf(one.value.card), detectors: one.value.detector_budgets ?? {} } : { id: ids.value[index], problem: one.reason.message }));
    };
    watch(() => ids.value.join(","), load, { immediate: true });
    const remove = (id) => setQuery({ ids: ids.value.filter((one) => one !== id).join(",") });
    useKeys("Compare", bindings);
    return { actions, answerOf, detectorTitle, href, ids, images, nameOf, remove, update, view, words };
  },
  template: `
    <div class="section-head"><h1>Compare</h1><view-bar v-if="images.length" :view="view" :actions="actions"/></div>
    <empty-state v-if="ids.length < 2" title="Choose two to four images"><p>Select them in the <a :href="href('/gallery')" data-app>gallery</a> with <kbd>x</kbd> and press <kbd>c</kbd>; or press <kbd>m</kbd> on an image’s page.</p></empty-state>
    <div class="compare" :class="'compare-' + images.length">
      <figure v-for="one in images" :key="one.id" class="compare-one">
        <empty-state v-if="one.problem" title="Not shown" trouble>{{ one.problem }}</empty-state>
        <template v-else>
          <image-viewer :src="one.item.cutout" :view="view" :arcsec="one.item.arcsec" :label="nameOf(one.item)" @update="update"/>
          <figcaption>
            <div class="title-line"><a class="name" :href="href('/image/' + one.id)" data-app>{{ nameOf(one.item) }}</a><span v-if="one.item.simulated" class="tag sim static">simulated</span><button v-if="images.length > 2" type="button" class="btn tiny" :aria-label="'Take away ' + nameOf(one.item)" @click="remove(one.id)">take away</button></div>
            <p class="verdict-line"><verdict-mark :verdict="one.item.verdict" :state="one.item.state"/> <p-figure :said="one.item.p_value_words"/></p>
            <p class="muted">{{ one.item.survey }} · {{ words(one.item.predicted_class ?? '–') }} <answer-mark v-if="answerOf(one.item)" :answer="answerOf(one.item)"/></p>
            <dl v-if="Object.keys(one.detectors).length" class="facts tight"><template v-for="(result, name) in one.detectors" :key="name"><dt>{{ detectorTitle(name) }}</dt><dd class="num">{{ result.words.figure }} <span class="muted">{{ result.words.meaning }}</span></dd></template></dl>
          </figcaption>
        </template>
      </figure>
    </div>`,
};
