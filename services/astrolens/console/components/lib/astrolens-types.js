// What the JSON API answers, as the components use it; see astrolens/usecases/views.py.

/**
 * @typedef {"interesting" | "artefact" | "ordinary"} Answer
 * @typedef {{figure: string, meaning: string, calibration?: string}} PValueWords
 */

/**
 * One image as a grid shows it.
 * @typedef {object} ImageCard
 * @property {string} image_id 32 hexadecimal digits
 * @property {string | null} name
 * @property {string} survey
 * @property {string} state ingested, analyzed or dead_lettered
 * @property {string | null} verdict anomaly, near_miss or ordinary; null until it is analysed
 * @property {string | null} class
 * @property {PValueWords | null} p_value_words
 * @property {Answer | null} label the last answer that stands, of anybody
 * @property {Record<string, Answer>} answers the answer of each person that stands
 * @property {number | null} ra_deg ICRS
 * @property {number | null} dec_deg ICRS
 * @property {string} cutout_url
 * @property {number | null} scale_arcsec arcseconds a pixel of the cutout
 * @property {boolean} simulated
 * @property {number | null} [object_images] images of the object that it shows, where a list has one image an object
 */

/**
 * What is known of one image, as far as components need it.
 * @typedef {object} ImageDetail
 * @property {string} image_id
 * @property {ImageCard} card
 * @property {Record<string, {p_value: number, words: PValueWords}>} detector_budgets
 * @property {string[]} position_texts degrees, sexagesimal, IAU name; empty without a position
 * @property {{name: string, url: string}[]} archive_links centred on the position
 */

export {};
