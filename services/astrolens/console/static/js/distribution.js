// A distribution known by its quantiles: scores[i] is the quantile probabilities[i]. Pure functions.

/** As many steps as a strip is wide in letters; more shows the sample, not the distribution. */
const BINS = 44;

/** The score that a share of ordinary images stays below, between the quantiles known. */
export function quantile(probabilities, scores, share) {
  const i = probabilities.findIndex((probability) => probability >= share);
  if (i <= 0) return i === 0 ? scores[0] : scores.at(-1);
  const t = (share - probabilities[i - 1]) / (probabilities[i] - probabilities[i - 1]);
  return scores[i - 1] + t * (scores[i] - scores[i - 1]);
}

/** The share of ordinary images below a score. */
export function shareBelow(probabilities, scores, score) {
  const i = scores.findIndex((one) => one >= score);
  if (i < 0) return 1;
  if (i === 0) return probabilities[0];
  const width = scores[i] - scores[i - 1];
  const t = width > 0 ? (score - scores[i - 1]) / width : 1;
  return probabilities[i - 1] + t * (probabilities[i] - probabilities[i - 1]);
}

/** Density between two scores in equal steps: `{from, to, height}`. */
export function density(probabilities, scores, low = scores[0], high = scores.at(-1)) {
  const step = (high - low) / BINS;
  if (!(step > 0)) return [];
  const bars = [];
  let below = shareBelow(probabilities, scores, low);
  for (let bin = 0; bin < BINS; bin += 1) {
    const to = low + (bin + 1) * step;
    const next = shareBelow(probabilities, scores, to);
    bars.push({ from: to - step, to, height: Math.max(0, next - below) / step });
    below = next;
  }
  return bars;
}

const TITLES = {
  msp: "Maximum softmax", energy: "Energy", mahalanobis: "Mahalanobis", combined: "Combined", gen: "GEN", rmds: "Relative Mahalanobis",
  knn: "Nearest neighbours", vim: "ViM", oddity: "Likeness to drawn oddities", asymmetry: "Asymmetry of its middle",
  "frame-asymmetry": "Asymmetry of the frame", "asymmetry-density": "Asymmetry, by its own survey",
};

/** A detector's name for people. */
export const detectorTitle = (name) => TITLES[name] ?? name;
