// A table of records; see records.py. A component of its own: NiceGUI makes the content of slots anew at every update
// of a page, which would take the focus away from whoever stands in the table.

import { defineComponent } from "vue";

/**
 * @typedef {{text: string, class?: string, title?: string, href?: string, src?: string, opens?: string}} Part
 * @typedef {{id: string, tone: string, cells: Part[][]}} Row
 */

export default defineComponent({
  props: {
    /** Quasar's columns */
    columns: { type: /** @type {import("vue").PropType<object[]>} */ (Array), required: true },
    rows: { type: /** @type {import("vue").PropType<Row[]>} */ (Array), required: true },
  },
  emits: ["open"],
  template: `
    <q-table class="records" flat dense hide-bottom wrap-cells row-key="id" :columns="columns" :rows="rows" :pagination="{ rowsPerPage: 0 }">
      <template #body="{ row, cols }">
        <tr :class="row.tone || null" :data-row="row.id">
          <td v-for="(cell, at) in row.cells" :key="at" :class="'text-' + cols[at].align" :data-head="at ? cols[at].label : null">
            <template v-for="(part, index) in cell" :key="index">
              <a v-if="part.href" :href="part.href" :class="part.class || null"><img v-if="part.src" :src="part.src" alt="" width="40" height="40" loading="lazy">{{ part.text }}</a>
              <button v-else-if="part.opens" type="button" :class="part.class" :aria-expanded="String(row.tone === 'opened')" @click="$emit('open', part.opens)">{{ part.text }}</button>
              <span v-else :class="part.class || null" :title="part.title">{{ part.text }}</span>{{ ' ' }}
            </template>
          </td>
        </tr>
      </template>
    </q-table>`,
});
