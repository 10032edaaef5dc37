// What a simple accessibility check sees; each function is evaluated in the page and answers with the offenders.

window.audit = {
  /** Controls and pictures without an accessible name. */
  unnamed: () => [...document.querySelectorAll('.al a[href], .al button, .al input, .al select, .al canvas, .al [role=img]')]
    .filter((one) => one.offsetParent !== null || one.getClientRects().length)
    .filter((one) => !((one.getAttribute('aria-label') || one.getAttribute('title') || one.textContent || '').trim()
      || one.labels?.length || one.querySelector('img[alt]:not([alt=""])')))
    .map((one) => one.outerHTML.slice(0, 120)),

  /** Text whose contrast with the ground behind it is below 4.5 (WCAG AA). */
  faint: () => {
    const channel = (value) => { const c = value / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
    const parse = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const ground = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
        if (a > 0.8) return [r, g, b];
      }
      return [11, 16, 22];
    };
    const found = [];
    for (const element of document.querySelectorAll('.al *')) {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!own || !element.getClientRects().length || element.closest('[disabled], .hover-p, .visually-hidden, svg')) continue;
      const style = getComputedStyle(element);
      const [a, b] = [light(parse(style.color)), light(ground(element))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${element.tagName} ${element.className} ${element.textContent.trim().slice(0, 30)}`);
    }
    return found;
  },
};
