/** The worker of `sides/bare-relay.js`. Its name is the server's origin. */
import { readPreview } from "./preview.js";

const newcomers = [];
/** The tab that is measured. A relay to several would copy what it transfers to one. */
let listener;
const clientId = crypto.randomUUID();
const waiting = [];
let gathering = false;
let status;

self.onconnect = ({ ports: [port] }) => {
  port.onmessage = () => {
    listener = port;
  };
  if (status) port.postMessage({ clientId, status });
  else newcomers.push(port);
};

const tick = new MessageChannel();
tick.port1.onmessage = () => {
  gathering = false;
  flush();
};

const socket = new WebSocket(`${self.name.replace(/^http/, "ws")}/ws?clientId=${clientId}`);
socket.binaryType = "arraybuffer";
socket.onmessage = ({ data }) => {
  const message = typeof data === "string" ? JSON.parse(data) : { ...readPreview(data), image: data };
  if (message.type === "status") {
    status = message.data;
    for (const port of newcomers.splice(0)) port.postMessage({ clientId, status });
    return;
  }
  waiting.push(message);
  if (!gathering) flush();
};

/** The first message goes at once; what comes until the tick is back goes as one batch. */
function flush() {
  if (waiting.length === 0) return;
  const batch = waiting.splice(0);
  const buffers = batch.map(({ image }) => image).filter(Boolean);
  listener?.postMessage(batch, buffers);
  gathering = true;
  tick.port2.postMessage(null);
}
