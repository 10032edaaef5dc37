// Buttons and keys for the pictures of the page; see viewer.py.

export { ViewBar as default } from "astrolens-viewer";
