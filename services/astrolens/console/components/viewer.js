// A picture with zoom, pan and stretch; see viewer.py.

export { ImageViewer as default } from "astrolens-viewer";
