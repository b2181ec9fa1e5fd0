import {
  getWindowTask,
  lockServerForWindow,
  registerWindowTask,
  removeWindowTask,
  unlockServerForWindow,
  WINDOW_CLIENT_ID,
  WINDOW_ID,
  windowLockedServer,
  windowTasks,
} from "./window-client.js";

/* An app of the old kind: it POSTs by itself, registers what it has sent, and shows what it is told of it. */
const server = new URLSearchParams(location.search).get("server");
const shown = [];

const show = (promptId, kind, detail) => {
  shown.push({ promptId, kind, detail });
  document.querySelector("output").textContent = `${kind} ${promptId}`;
};

const callbacks = (promptId) => ({
  onProgress: ({ prompt_id, value, max }) => show(prompt_id, "progress", `${value}/${max}`),
  onComplete: ({ outputs }) => show(promptId, "complete", outputs),
  onError: (error) => show(promptId, "error", error.message),
});

async function submit(prompt) {
  const answer = await fetch(`${server}/prompt`, {
    method: "POST",
    body: JSON.stringify({ prompt, client_id: WINDOW_CLIENT_ID }),
  });
  const { prompt_id } = await answer.json();
  registerWindowTask(prompt_id, callbacks(prompt_id));
  return prompt_id;
}

await lockServerForWindow(server);
// What was open before a reload is waited for again, where the window still knows it.
for (const promptId of windowTasks.keys()) registerWindowTask(promptId, callbacks(promptId));

window.app = {
  submit,
  shown,
  getWindowTask,
  removeWindowTask,
  unlock: unlockServerForWindow,
  windowId: WINDOW_ID,
  clientId: () => WINDOW_CLIENT_ID,
  lockedServer: () => windowLockedServer,
  tasks: () => [...windowTasks.keys()],
};
