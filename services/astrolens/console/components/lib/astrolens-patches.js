// The map of strange patches over a picture: 14 x 14 cells, as `PatchMap` of the contracts has them.

/** Value of a cell that is as far from ordinary patches as their farthest 1 %. */
const UNIT = 64;

/** Purple, red, orange, pale yellow: rising lightness, so that the order is seen without colours. */
const STOPS = [
  [70, 20, 110],
  [188, 55, 84],
  [249, 142, 9],
  [252, 255, 164],
];
const OPAQUE = 0.6;

/** @param {number} value 0 to 255 @returns {[number, number, number, number]} red, green, blue, and opacity 0 to 1 */
function colour(value) {
  const at = (value / 255) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(at));
  const [red, green, blue] = STOPS[low].map((from, channel) => from + (STOPS[low + 1][channel] - from) * (at - low));
  // Ordinary patches stay as they are.
  return [red, green, blue, OPAQUE * Math.min(1, value / UNIT)];
}

/** The colours of the legend, from ordinary to strangest. */
export const GRADIENT = `linear-gradient(to right, ${[0, 16, 32, 64, 128, 192, 255]
  .map((value) => {
    const [red, green, blue, opacity] = colour(value);
    return `rgb(${red} ${green} ${blue} / ${opacity}) ${(value / 2.55).toFixed(0)}%`;
  })
  .join(", ")})`;

/** The cells, row by row; none where the text is no square map. @param {string} text Base64 @returns {Uint8Array | null} */
export function cellsOf(text) {
  if (!text) return null;
  const cells = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  return Number.isInteger(Math.sqrt(cells.length)) ? cells : null;
}

/**
 * Paint the cells into a square of a canvas, and outline those beyond the farthest 1 % of ordinary patches.
 * @param {CanvasRenderingContext2D} context @param {Uint8Array} cells @param {number} x @param {number} y @param {number} side
 */
export function paintCells(context, cells, x, y, side) {
  const count = Math.sqrt(cells.length);
  const small = new OffscreenCanvas(count, count);
  const pixels = new ImageData(count, count);
  cells.forEach((value, place) => {
    const [red, green, blue, opacity] = colour(value);
    pixels.data.set([red, green, blue, 255 * opacity], 4 * place);
  });
  /** @type {OffscreenCanvasRenderingContext2D} */ (small.getContext("2d")).putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, x, y, side, side);
  const step = side / count;
  /** @param {number} row @param {number} column */
  const beyond = (row, column) =>
    row >= 0 && column >= 0 && row < count && column < count && cells[row * count + column] >= UNIT;
  const path = new Path2D();
  for (let row = 0; row <= count; row += 1) {
    for (let column = 0; column <= count; column += 1) {
      if (beyond(row, column) !== beyond(row - 1, column)) {
        path.moveTo(x + column * step, y + row * step);
        path.lineTo(x + (column + 1) * step, y + row * step);
      }
      if (beyond(row, column) !== beyond(row, column - 1)) {
        path.moveTo(x + column * step, y + row * step);
        path.lineTo(x + column * step, y + (row + 1) * step);
      }
    }
  }
  // Dark below light: seen on bright and on dark sky.
  Object.assign(context, { lineWidth: 3, strokeStyle: "#000a" });
  context.stroke(path);
  Object.assign(context, { lineWidth: 1.2, strokeStyle: "#fffd" });
  context.stroke(path);
}
