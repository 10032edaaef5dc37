/** What NiceGUI's page has beside the browser's own. */
interface Window {
  Quasar: { Notify: { create(options: Record<string, unknown>): void } };
}
