/*
 * The kind of module that comfy-tabs/compat stands in for: every window has a client id and a WebSocket of its own, and
 * tells the others of its tasks through localStorage.
 */
const random = () => Math.random().toString(36).slice(2, 10);
export const generateWindowId = () => `window_${Date.now()}_${random()}`;
export const generateUniqueClientId = () => `client_${Date.now()}_${random()}`;

export const WINDOW_ID = generateWindowId();
export const WINDOW_CLIENT_ID = generateUniqueClientId();
export const windowTasks = new Map();
/** What the other windows have told. */
export const heardOfOthers = [];
export let windowLockedServer = null;
export let windowLockTimestamp = null;
export let currentWebSocketServer = null;
export let serverLockTimestamp = null;

let socket;
window.pendingTasks = windowTasks;
window.getWindowInfo = () => ({
  windowId: WINDOW_ID,
  clientId: WINDOW_CLIENT_ID,
  taskCount: windowTasks.size,
});

function announce(type, { promptId, status }) {
  const told = {
    type,
    windowId: WINDOW_ID,
    clientId: WINDOW_CLIENT_ID,
    promptId,
    status,
    timestamp: Date.now(),
  };
  localStorage.setItem(`comfyui_task_${promptId}`, JSON.stringify(told));
}

window.addEventListener("storage", ({ key, newValue }) => {
  if (!key?.startsWith("comfyui_task_") || !newValue) return;
  const told = JSON.parse(newValue);
  if (told.windowId !== WINDOW_ID) heardOfOthers.push(told);
});
window.heardOfOthers = heardOfOthers;
// Chromium drops what others write while a page reads its storage for the first time: that is done before they begin.
localStorage.getItem("comfyui_windows");

async function complete(task, promptId) {
  const history = await (await fetch(`${currentWebSocketServer}/history/${promptId}`)).json();
  task.status = "completed";
  announce("task_completed", task);
  task.onComplete?.({ promptId, outputs: history[promptId].outputs });
}

function hear({ data }) {
  if (typeof data !== "string") return;
  const { type, data: said } = JSON.parse(data);
  const task = windowTasks.get(said.prompt_id);
  if (!task) return;
  if (type === "progress") task.onProgress?.(said);
  if (type === "executing" && said.node === null) void complete(task, said.prompt_id);
  if (type === "execution_error") task.onError?.(new Error(said.exception_message));
}

export function lockServerForWindow(server) {
  windowLockedServer = server;
  windowLockTimestamp = Date.now();
  if (currentWebSocketServer === server) return Promise.resolve(true);
  socket?.close();
  socket = new WebSocket(`${server.replace(/^http/, "ws")}/ws?clientId=${WINDOW_CLIENT_ID}`);
  socket.onmessage = hear;
  currentWebSocketServer = server;
  serverLockTimestamp = Date.now();
  return new Promise((resolve) => {
    socket.onopen = () => resolve(true);
  });
}

export function unlockServerForWindow() {
  windowLockedServer = null;
  windowLockTimestamp = null;
  return true;
}

export function registerWindowTask(promptId, task) {
  Object.assign(task, { promptId, windowId: WINDOW_ID, clientId: WINDOW_CLIENT_ID, status: "registered" });
  windowTasks.set(promptId, task);
  announce("task_registered", task);
}

export const getWindowTask = (promptId) => windowTasks.get(promptId);
export const removeWindowTask = (promptId) => windowTasks.delete(promptId);
