// Positions on the sky: writing, reading and where else to look. ICRS degrees throughout.

const pad = (value, width) => String(value).padStart(width, "0");

function split(value, decimals, cut) {
  // Whole units of the last digit first: 59.999 must never be written as 60.
  const factor = 10 ** decimals;
  const units = cut ? Math.floor(value * 3600 * factor + 1e-6) : Math.round(value * 3600 * factor);
  const seconds = units / factor;
  return [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), (units % (60 * factor)) / factor];
}

function parts(ra, dec, decimals, cut) {
  const [h, m, s] = split(ra / 15, decimals + 1, cut);
  const [d, am, as] = split(Math.abs(dec), decimals, cut);
  const second = (value, places) => value.toFixed(places).padStart(places ? places + 3 : 2, "0");
  return {
    ra: [pad(h % 24, 2), pad(m, 2), second(s, decimals + 1)],
    dec: [(dec < 0 ? "-" : "+") + pad(d, 2), pad(am, 2), second(as, decimals)],
  };
}

/** `10.684708 +41.268750` */
export function degrees(ra, dec) {
  return `${ra.toFixed(6)} ${dec < 0 ? "" : "+"}${dec.toFixed(6)}`;
}

/** `00:42:44.33 +41:16:07.5` */
export function sexagesimal(ra, dec) {
  const p = parts(ra, dec, 1, false);
  return `${p.ra.join(":")} ${p.dec.join(":")}`;
}

/** `J004244.32+411607.5`: cut off, not rounded, as the IAU asks of names. */
export function iauName(ra, dec) {
  const p = parts(ra, dec, 1, true);
  return `J${p.ra.join("")}${p.dec.join("")}`;
}

const NUMBER = "\\d+(?:\\.\\d+)?";
const PAIR = new RegExp(`^([+]?${NUMBER})[°d]?[\\s,;]+([+-]?${NUMBER})[°d]?$`);
const SIX = new RegExp(
  `^(\\d{1,2})[h:\\s]\\s*(\\d{1,2})[m:\\s]\\s*(${NUMBER})s?[\\s,;]*([+-])\\s*(\\d{1,2})[d°:\\s]\\s*(\\d{1,2})[m'′:\\s]\\s*(${NUMBER})[s"″]?$`,
);
const NAME = /^J(\d{2})(\d{2})(\d{2}(?:\.\d+)?)([+-])(\d{2})(\d{2})(\d{2}(?:\.\d+)?)$/;

/** The position a person typed, `{ra, dec}` in degrees, or null where it is none. */
export function parsePosition(text) {
  const given = text.trim().replaceAll("−", "-");
  let ra;
  let dec;
  const pair = PAIR.exec(given);
  if (pair) {
    ra = Number(pair[1]);
    dec = Number(pair[2]);
  } else {
    const six = SIX.exec(given) ?? NAME.exec(given);
    if (!six) return null;
    const [h, m, s, sign, d, am, as] = six.slice(1);
    if (Number(m) >= 60 || Number(s) >= 60 || Number(am) >= 60 || Number(as) >= 60) return null;
    ra = 15 * (Number(h) + Number(m) / 60 + Number(s) / 3600);
    dec = (sign === "-" ? -1 : 1) * (Number(d) + Number(am) / 60 + Number(as) / 3600);
  }
  return ra >= 0 && ra < 360 && Math.abs(dec) <= 90 ? { ra, dec } : null;
}

/** The archives, each with an address centred on the position. */
export function archives(ra, dec) {
  const r = ra.toFixed(6);
  const d = dec.toFixed(6);
  const signed = dec < 0 ? d : `+${d}`;
  const pair = encodeURIComponent(`${r} ${signed}`);
  return [
    { name: "SIMBAD", url: `https://simbad.cds.unistra.fr/simbad/sim-coo?Coord=${pair}&CooFrame=ICRS&Radius=0.5&Radius.unit=arcmin` },
    { name: "NED", url: `https://ned.ipac.caltech.edu/conesearch?in_csys=Equatorial&in_equinox=J2000&coordinates=${encodeURIComponent(`${r}d ${signed}d`)}&radius=0.5` },
    { name: "VizieR", url: `https://vizier.cds.unistra.fr/viz-bin/VizieR?-c=${pair}&-c.rs=30` },
    { name: "Legacy Survey", url: `https://www.legacysurvey.org/viewer?ra=${r}&dec=${d}&layer=ls-dr10&zoom=15&mark=${r},${d}` },
    { name: "ESASky", url: `https://sky.esa.int/esasky/?target=${pair}&fov=0.1&cooframe=J2000&sci=true` },
  ];
}
