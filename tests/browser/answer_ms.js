// Milliseconds from the key of an answer to the next picture on the screen; evaluated in the triage page.

async () => {
  const name = () => document.querySelector('.triage-side h2').textContent;
  const deadline = performance.now() + 10_000;
  const until = async (test) => {
    while (!test()) {
      if (performance.now() > deadline) throw new Error('nothing came of it');
      await new Promise((done) => setTimeout(done));
    }
  };
  await until(() => document.querySelector('.viewer').dataset.state === 'ready');
  const before = name();
  const start = performance.now();
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '3', bubbles: true }));
  await until(() => name() !== before && document.querySelector('.viewer').dataset.state === 'ready');
  return performance.now() - start;
}
