/**
 * What a measured tab can do. Every side does the same work with the same messages; only the way they take
 * to the handler differs.
 */
import { connectOrders } from "./orders.js";
import * as bareRelay from "./sides/bare-relay.js";
import * as direct from "./sides/direct.js";

const sides = { direct, "bare-relay": bareRelay };
const opened = new Map();
let server;
let navigationStartMs;
let orders;

globalThis.bench = {
  /** @param {{ server: string, sides: string[], navigationStartMs: number }} options */
  async load(options) {
    ({ server, navigationStartMs } = options);
    if (options.sides.includes("comfy-tabs")) sides["comfy-tabs"] = await import("./sides/comfy-tabs.js");
  },

  /** Opens this tab's way to the server and keeps it. @param {string} side */
  async open(side) {
    orders ??= await connectOrders(server);
    opened.set(side, await sides[side].open(server));
  },

  /** Messages per second, from the order to the last message's handler. */
  flood: (side, { kind, count }) =>
    duringPrompt(side, async (promptId, handle) => {
      const all = Promise.withResolvers();
      let seen = 0;
      let characters = 0;
      const take = (body) => {
        seen += 1;
        characters += body.text[0].length;
        if (seen === count) all.resolve(performance.now());
      };
      if (kind === "executed") handle.output = (_nodeId, output) => take(output);
      else handle.custom = take;
      const began = await orders.begin({ do: kind, promptId, count });
      const ended = await within(30_000, all.promise, () => `${seen} of ${count} messages arrived`);
      if (characters !== 32 * count) throw new Error(`${characters} characters instead of ${32 * count}`);
      return { perSecond: (1000 * count) / (ended - began) };
    }),

  /** Progress that the server sends per second, until the newest is shown; and how many of them were told. */
  progressFlood: (side, { count }) =>
    duringPrompt(side, async (promptId, handle) => {
      const last = Promise.withResolvers();
      let told = 0;
      handle.progress = (value) => {
        told += 1;
        if (value === count) last.resolve(performance.now());
      };
      const began = await orders.begin({ do: "progress", promptId, count });
      const ended = await within(30_000, last.promise, () => `${told} of ${count} were told, not the last`);
      return { perSecond: (1000 * count) / (ended - began), told };
    }),

  /** Milliseconds from the server's send to the handler: median and 95th percentile. */
  paced: (side, { count, everyMs }) =>
    duringPrompt(side, async (promptId, handle) => {
      const offsetMs = await orders.clock(navigationStartMs);
      const all = Promise.withResolvers();
      const delays = [];
      handle.output = (_nodeId, output) => {
        delays.push(performance.now() + offsetMs - Number(output.text[0]));
        if (delays.length === count) all.resolve();
      };
      await orders.begin({ do: "paced", promptId, count, everyMs });
      await within(30_000 + count * everyMs, all.promise, () => `${delays.length} of ${count} arrived`);
      delays.sort((a, b) => a - b);
      return { medianMs: delays[count >> 1], p95Ms: delays[Math.floor(count * 0.95)] };
    }),

  /** Megabytes of previews per second that become Blobs in the tab, with `window` under way at a time. */
  previews: (side, { count, bytes, window }) =>
    duringPrompt(side, async (promptId, handle) => {
      const all = Promise.withResolvers();
      let seen = 0;
      handle.preview = (image) => {
        if (image.size !== bytes || image.type !== "image/jpeg")
          all.reject(new Error(`A preview of ${image.size} bytes, ${image.type}`));
        seen += 1;
        if (seen === count) all.resolve(performance.now());
        else orders.send({ do: "preview-taken", promptId });
      };
      const began = await orders.begin({ do: "previews", promptId, count, bytes, window });
      const ended = await within(30_000, all.promise, () => `${seen} of ${count} previews arrived`);
      return { megabytesPerSecond: (count * bytes) / 1000 / (ended - began) };
    }),
};

/** Runs `measure` while a prompt of this side's runs, and ends the prompt afterwards. */
async function duringPrompt(side, measure) {
  const handle = { output() {}, custom() {}, progress() {}, preview() {} };
  const { promptId, ended } = await within(10_000, opened.get(side).submit(handle), () => "nothing started");
  const result = await measure(promptId, handle);
  orders.send({ do: "finish", promptId });
  await within(10_000, ended(), () => "the prompt did not end");
  return result;
}

function within(ms, promise, explain) {
  const late = Promise.withResolvers();
  const timer = setTimeout(() => late.reject(new Error(`After ${ms / 1000} s: ${explain()}`)), ms);
  return Promise.race([promise, late.promise]).finally(() => clearTimeout(timer));
}
