// Copying texts: a click on whatever carries `data-copy` copies it and says so.

import { toast } from "astrolens-answers";

/** Pressing again within this time copies the next way of writing the same. */
const AGAIN_MS = 5000;

let last = { turn: 0, at: 0, first: "" };

/** @param {string} text @param {string} more what else can be had */
async function copy(text, more) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // The Clipboard API is missing where the page is plain HTTP on another machine.
    const area = Object.assign(document.createElement("textarea"), { value: text });
    area.style.position = "fixed";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) return toast(`This browser does not let pages copy: ${text}`);
  }
  toast(`Copied ${text}.${more}`);
}

document.addEventListener("click", (event) => {
  const found = /** @type {HTMLElement} */ (event.target).closest?.("[data-copy]");
  if (!found) return;
  const list = event.detail === 0 ? found.closest("dl") : null;
  const forms = [...(list?.querySelectorAll("[data-copy]") ?? [found])].map(
    (one) => one.getAttribute("data-copy") ?? "",
  );
  // A key presses the first button of the position again and again; a pointer chooses its own.
  const again = Date.now() - last.at < AGAIN_MS && last.first === forms[0];
  last = { turn: again ? (last.turn + 1) % forms.length : 0, at: Date.now(), first: forms[0] };
  copy(forms[last.turn], forms.length > 1 ? " Again for another form." : "");
});
