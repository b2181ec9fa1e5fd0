/** A tab that asks for its first answer as soon as its script has been loaded, while the page still begins. */
const parameters = new URLSearchParams(location.search);

async function hear() {
  const { firstAnswer } = await import(`./sides/${parameters.get("side")}.js`);
  const began = performance.now();
  await firstAnswer(parameters.get("server"));
  const ended = performance.now();
  return { afterMs: ended - began, sinceNavigationMs: ended };
}

const heard = hear();
heard.catch(() => {}); // told to whoever asks
globalThis.firstAnswer = () => heard;
