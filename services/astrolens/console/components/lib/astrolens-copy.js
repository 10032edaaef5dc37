// Copying texts: a click on whatever carries `data-copy` copies it and says so.

import { toast } from "astrolens-answers";

/** Pressing again within this time copies the next way of writing the same. */
const AGAIN_MS = 5000;

let last = { turn: 0, at: 0, first: "" };

/** @param {string} text */
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // The Clipboard API is missing where the page is plain HTTP on another machine.
    const area = Object.assign(document.createElement("textarea"), { value: text });
    area.style.position = "fixed";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** @param {string} text @param {string} [more] what else can be had */
export async function copy(text, more = "") {
  toast((await write(text)) ? `Copied ${text}.${more}` : `This browser does not let pages copy: ${text}`);
}

/** Copy a text of several that say the same; pressed again soon, the next. @param {string[]} forms */
export function copyNext(forms) {
  const again = Date.now() - last.at < AGAIN_MS && last.first === forms[0];
  last = { turn: again ? (last.turn + 1) % forms.length : 0, at: Date.now(), first: forms[0] };
  return copy(forms[last.turn], forms.length > 1 ? " Again for another form." : "");
}

document.addEventListener("click", (event) => {
  const found = /** @type {HTMLElement} */ (event.target).closest?.("[data-copy]");
  const list = found?.closest("dl");
  if (!found) return;
  // A key presses the first button of the position again and again; a pointer chooses its own.
  if (event.detail === 0 && list) {
    copyNext([...list.querySelectorAll("[data-copy]")].map((one) => one.getAttribute("data-copy") ?? ""));
  } else copy(found.getAttribute("data-copy") ?? "");
});
