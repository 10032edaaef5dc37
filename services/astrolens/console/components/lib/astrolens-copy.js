// Copying texts: a click on whatever carries `data-copy` copies it and says so.

import { toast } from "astrolens-answers";

/** Pressing again within this time copies the next way of writing the same. */
const AGAIN_MS = 5000;

let last = { turn: 0, at: 0, first: "" };

document.addEventListener("click", (event) => {
  const found = /** @type {HTMLElement} */ (event.target).closest?.("[data-copy]");
  if (!found) return;
  // A key presses the first button of the position again and again; a pointer chooses its own.
  const list = event.detail === 0 ? found.closest("dl") : null;
  const forms = Array.from(
    list?.querySelectorAll("[data-copy]") ?? [found],
    (one) => one.getAttribute("data-copy") ?? "",
  );
  const again = Date.now() - last.at < AGAIN_MS && last.first === forms[0];
  last = { turn: again ? (last.turn + 1) % forms.length : 0, at: Date.now(), first: forms[0] };
  const text = forms[last.turn];
  window.Quasar.copyToClipboard(text).then(
    () => toast(`Copied ${text}.${forms.length > 1 ? " Again for another form." : ""}`),
    () => toast(`This browser does not let pages copy: ${text}`),
  );
});
