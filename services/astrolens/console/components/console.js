// What NiceGUI registers; everything else are modules that this one loads.
export { default } from "astrolens/js/app.js";
