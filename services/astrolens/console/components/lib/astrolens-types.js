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
 * @property {string[]} [tags] of the answers that stand
 * @property {string} cutout_url
 * @property {number | null} scale_arcsec arcseconds a pixel of the cutout
 * @property {boolean} simulated
 * @property {number | null} [object_images] images of the object that it shows, where a list has one image an object
 */

export {};
