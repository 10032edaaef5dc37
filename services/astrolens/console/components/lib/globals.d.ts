/** What NiceGUI's page has beside the browser's own. */
interface Window {
  Quasar: {
    copyToClipboard(text: string): Promise<void>;
    Notify: { create(options: Record<string, unknown>): void };
    Screen: { height: number };
  };
}
