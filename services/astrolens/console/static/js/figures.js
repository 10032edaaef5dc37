// A bundle's evaluation figures as tables: rows are surveys, columns are measures, intervals beside their values.

import { computed } from "vue";
import { count, figure, words } from "astrolens/js/format.js";

const isPlain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isInterval = (value) => isPlain(value) && "value" in value;
const leaf = (value) => !isPlain(value) || isInterval(value);
/** Wider tables are turned: a page has room below, not beside. */
const MAX_COLUMNS = 8;

function show(value) {
  if (value === null || value === undefined) return "–";
  if (isInterval(value)) return value.low === undefined ? show(value.value) : `${figure(value.value)} (${figure(value.low)} – ${figure(value.high)})`;
  if (Array.isArray(value)) return value.map((one) => (typeof one === "number" ? figure(one) : String(one))).join(value.length === 2 ? " – " : ", ");
  if (typeof value === "number") return Number.isInteger(value) ? count(value) : figure(value);
  return String(value);
}

/** `accuracy` and `accuracy_interval` are one thing; so are `rate` and `interval`. */
function joined(measures) {
  const found = { ...measures };
  for (const [name, range] of Object.entries(measures)) {
    if (!Array.isArray(range) || range.length !== 2) continue;
    const of = name === "interval" ? "rate" : name.replace(/_interval$/, "");
    if (of !== name && typeof measures[of] === "number") {
      found[of] = { value: measures[of], low: range[0], high: range[1] };
      delete found[name];
    }
  }
  return found;
}

function turned(table) {
  if (table.columns.length <= MAX_COLUMNS) return table;
  return {
    ...table,
    columns: table.rows.map((row) => row.name),
    rows: table.columns.map((name, index) => ({ name, cells: table.rows.map((row) => row.cells[index]) })),
  };
}

/** Tables of things that are all measured alike; what is nested in them becomes a table of its own. */
function tablesOf(title, things) {
  const rows = Object.entries(things).map(([name, measures]) => [name, joined(measures)]);
  const keys = [...new Set(rows.flatMap(([, measures]) => Object.keys(measures)))];
  const flat = keys.filter((key) => rows.every(([, measures]) => !(key in measures) || leaf(measures[key])));
  const tables = [];
  if (flat.length) tables.push(turned({ title, columns: flat, rows: rows.map(([name, measures]) => ({ name, cells: flat.map((key) => show(measures[key])) })) }));
  for (const key of keys.filter((one) => !flat.includes(one))) {
    const nested = Object.fromEntries(rows.filter(([, measures]) => isPlain(measures[key])).map(([name, measures]) => [name, measures[key]]));
    tables.push(...tablesOf([title, words(key)].filter(Boolean).join(": "), nested));
  }
  return tables;
}

/** Figures as single facts and sections of tables; the test split first, and open. */
export function sectionsOf(figures) {
  const entries = Object.entries(figures ?? {});
  const facts = entries.filter(([, value]) => leaf(value)).map(([name, value]) => ({ name, text: show(value) }));
  const sections = entries
    .filter(([, value]) => !leaf(value))
    .map(([name, value]) => ({ name, open: name === "test", tables: tablesOf("", Object.values(value).every((one) => !leaf(one)) ? value : { [name]: value }) }))
    .sort((a, b) => Number(b.open) - Number(a.open));
  if (sections.length && !sections.some((section) => section.open)) for (const section of sections) section.open = true;
  return { facts, sections };
}

export const FiguresTable = {
  props: { figures: { type: Object, default: () => ({}) } },
  setup: (props) => ({ found: computed(() => sectionsOf(props.figures)), words }),
  template: `
    <p v-if="!found.facts.length && !found.sections.length" class="muted">The bundle carries no figures; its model card may.</p>
    <dl v-if="found.facts.length" class="facts"><template v-for="one in found.facts" :key="one.name"><dt>{{ words(one.name) }}</dt><dd class="num">{{ one.text }}</dd></template></dl>
    <details v-for="section in found.sections" :key="section.name" class="figures" :open="section.open">
      <summary>{{ words(section.name) }}</summary>
      <div class="figure-tables"><div v-for="(table, index) in section.tables" :key="index" class="table-wrap" tabindex="0"><table class="table narrow"><caption v-if="table.title">{{ table.title }}</caption>
        <thead><tr><th scope="col"><span class="visually-hidden">what</span></th><th v-for="column in table.columns" :key="column" scope="col" class="right">{{ words(column) }}</th></tr></thead>
        <tbody><tr v-for="row in table.rows" :key="row.name"><th scope="row">{{ words(row.name) }}</th><td v-for="(cell, at) in row.cells" :key="at" class="right num">{{ cell }}</td></tr></tbody></table></div></div>
    </details>`,
};
