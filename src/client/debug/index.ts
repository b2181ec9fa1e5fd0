import { nanoid } from "nanoid";
import type { Session } from "../api.ts";
import { checkWindow } from "./check-window.ts";
import { type CheckOrder, type DebugMessage, debugChannel, type WindowReport } from "./messages.ts";

export type { CheckOrder, WindowReport };

/** Windows that have not reported by then have failed. */
const patientMs = 120_000;
/** Who has not answered by then takes no part. */
const gatherMs = 500;

/**
 * Lets this window take part in checks that any window of the origin may start: with {@link testMultiWindow}, or by
 * `test-multi-window.js` in a console. It submits small tasks then. Not for production: whoever can run script
 * in a page of this origin can have it submit.
 *
 * @returns the function that ends it
 */
export function enableDebug(session: Session): () => void {
  const channel = new BroadcastChannel(debugChannel);
  let isOver = false;
  const say = (message: DebugMessage): void => {
    // A check may be under way when this window has had enough of it.
    if (!isOver) channel.postMessage(message);
  };
  const { windowId } = session;
  channel.onmessage = async ({ data }: MessageEvent<DebugMessage>) => {
    const { run } = data;
    if (data.type === "who") say({ type: "here", run, windowId });
    else if (data.type === "submit")
      say({ type: "report", run, report: await checkWindow(session, data.order) });
    else if (data.type === "lead" && data.windowId === windowId)
      say({ type: "verdict", run, reports: await testMultiWindow(data.order) });
  };
  return () => {
    isOver = true;
    channel.close();
  };
}

/**
 * Has all windows that were opened for it by {@link enableDebug} submit at once, and tells of each whether it heard
 * all of its own tasks and nothing of the others'.
 *
 * @param order default: three tasks a window, each at the server that the window would choose
 * @returns one report a window, none where no window takes part; windows that keep silent for two minutes fail
 */
export async function testMultiWindow(order: Partial<CheckOrder> = {}): Promise<WindowReport[]> {
  const channel = new BroadcastChannel(debugChannel);
  const run = nanoid();
  const say = (message: DebugMessage): void => channel.postMessage(message);
  const windows = new Set<string>();
  const reports = new Map<string, WindowReport>();
  await new Promise<void>((resolve) => {
    let timer = setTimeout(() => {
      if (windows.size === 0) return resolve();
      timer = setTimeout(resolve, patientMs);
      say({ type: "submit", run, order: { ...order, tasks: order.tasks ?? 3 } });
    }, gatherMs);
    channel.onmessage = ({ data }: MessageEvent<DebugMessage>) => {
      if (data.run !== run) return;
      if (data.type === "here") windows.add(data.windowId);
      if (data.type !== "report") return;
      reports.set(data.report.windowId, data.report);
      if (![...windows].every((windowId) => reports.has(windowId))) return;
      clearTimeout(timer);
      resolve();
    };
    say({ type: "who", run });
  });
  channel.close();
  return [...windows].map((windowId) => judged(windowId, reports));
}

/** What only all reports together show. */
function judged(windowId: string, reports: ReadonlyMap<string, WindowReport>): WindowReport {
  const report = reports.get(windowId) ?? {
    windowId,
    pass: false,
    problems: ["the window has not reported"],
    prompts: [],
    sees: [],
    ms: patientMs,
  };
  const others = [...reports.values()].filter((other) => other !== report).flatMap(({ prompts }) => prompts);
  const foreign = report.sees.filter((prompt) => others.includes(prompt));
  const problems = [...report.problems, ...foreign.map((prompt) => `it sees another window's ${prompt}`)];
  return { ...report, problems, pass: problems.length === 0 };
}
