// A bundle's evaluation figures as tables, whatever their depth: rows are things measured, columns are measures.

import { computed } from "vue";
import { figure, words } from "astrolens/js/format.js";

const isPlain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isInterval = (value) => isPlain(value) && "value" in value;

function show(value) {
  if (isInterval(value)) {
    const low = value.low ?? value.lower ?? value.interval?.[0];
    const high = value.high ?? value.upper ?? value.interval?.[1];
    return low === undefined ? figure(value.value) : `${figure(value.value)} (${figure(low)} – ${figure(high)})`;
  }
  if (typeof value === "number") return Number.isInteger(value) ? value.toLocaleString("en-US") : figure(value);
  if (Array.isArray(value)) return value.every((one) => typeof one === "number") ? value.map((one) => figure(one)).join(" – ") : value.map(show).join(", ");
  return value === null ? "–" : isPlain(value) ? JSON.stringify(value) : String(value);
}

const leaf = (value) => !isPlain(value) || isInterval(value);

/** Nested figures as a list of tables: a thing whose members are all measured alike becomes rows under one head. */
export function tablesOf(figures, title = "") {
  const tables = [];
  const leaves = Object.entries(figures).filter(([, value]) => leaf(value));
  const groups = Object.entries(figures).filter(([, value]) => !leaf(value));
  if (leaves.length) tables.push({ title, columns: ["value"], rows: leaves.map(([name, value]) => ({ name, cells: [show(value)] })) });
  const flat = groups.filter(([, value]) => Object.values(value).every(leaf));
  if (flat.length) {
    const columns = [...new Set(flat.flatMap(([, value]) => Object.keys(value)))];
    tables.push({ title, columns, rows: flat.map(([name, value]) => ({ name, cells: columns.map((column) => (column in value ? show(value[column]) : "–")) })) });
  }
  for (const [name, value] of groups) if (!flat.some(([other]) => other === name)) tables.push(...tablesOf(value, [title, words(name)].filter(Boolean).join(", ")));
  return tables;
}

export const FiguresTable = {
  props: { figures: { type: Object, default: () => ({}) } },
  setup: (props) => ({ tables: computed(() => tablesOf(props.figures ?? {})), words }),
  template: `
    <p v-if="!tables.length" class="muted">The bundle carries no figures; its model card may.</p>
    <div v-for="(table, index) in tables" :key="index" class="table-wrap"><table class="table narrow"><caption v-if="table.title">{{ table.title }}</caption>
      <thead v-if="table.columns.length > 1 || table.columns[0] !== 'value'"><tr><th scope="col"></th><th v-for="column in table.columns" :key="column" scope="col" class="right">{{ words(column) }}</th></tr></thead>
      <tbody><tr v-for="row in table.rows" :key="row.name"><th scope="row">{{ words(row.name) }}</th><td v-for="(cell, at) in row.cells" :key="at" class="right num">{{ cell }}</td></tr></tbody></table></div>`,
};
