// @vitest-environment happy-dom
import { act, createElement, type ReactElement, StrictMode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ConnectOptions, Session, Task } from "../api.ts";
import { type Browser, createBrowser } from "../testing/browser.ts";
import { isAt, workflow } from "../testing/task.ts";
import { useComfy, useServers, useTask } from "./index.ts";

let browser: Browser;
let root: Root;
let element: HTMLElement;
beforeEach(() => {
  Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });
  browser = createBrowser();
  element = document.createElement("main");
  root = createRoot(element);
});
afterEach(async () => {
  await act(async () => root.unmount());
  browser.end();
});

const render = (node: ReactElement) => act(async () => root.render(createElement(StrictMode, null, node)));

/** What happens outside of React is shown when React is asked. */
const shows = (text: string) =>
  expect.poll(() => act(async () => element.textContent), { timeout: 4_000 }).toBe(text);

function TaskLine({ task }: { task: Task | undefined }) {
  const view = useTask(task);
  return view ? `${view.status} ${view.progress?.value ?? "-"} ${view.error?.code ?? ""}` : "none";
}

function ServerLine({ session }: { session: Session | undefined }) {
  return useServers(session)
    .map(({ id, queueRemaining }) => `${id} ${queueRemaining}`)
    .join();
}

function ErrorLine({ options }: { options: ConnectOptions }) {
  const { session, tasks, error } = useComfy(options);
  return `${String(session)} ${tasks.length} ${error?.message}`;
}

test("useTask follows the task, and another one when it is given another", async () => {
  const session = await browser.openPage().connect();
  const [first, second] = [await session.submit(workflow), await session.submit(workflow)];
  await isAt(second, "queued");
  await render(createElement(TaskLine, { task: undefined }));
  await shows("none");
  await render(createElement(TaskLine, { task: first }));
  await shows("queued - ");
  browser.comfy.start(first.promptId ?? "");
  browser.comfy.progress(first.promptId ?? "", 3);
  await shows("running 3 ");
  browser.comfy.fail(first.promptId ?? "");
  await shows("failed 3 node-failed");
  await render(createElement(TaskLine, { task: second }));
  await shows("queued - ");
});

test("useServers shows the session's servers as they change", async () => {
  const session = await browser.openPage().connect();
  await render(createElement(ServerLine, { session }));
  await shows("http://comfy.test 0");
  browser.comfy.say("status", { status: { exec_info: { queue_remaining: 4 } } });
  await shows("http://comfy.test 4");
});

test("useComfy tells why there is no session, and tries again with other options", async () => {
  await render(createElement(ErrorLine, { options: { servers: [] } }));
  await shows("undefined 0 `servers` has to be a list of at least one server.");
  await render(createElement(ErrorLine, { options: { servers: ["http://comfy.test"], name: "" } }));
  await shows("undefined 0 `name` has to be a text of 1 to 200 characters.");
});

test("all of them render on a server, where nothing connects", () => {
  const options = { servers: ["http://comfy.test"] };
  expect(renderToString(createElement(ErrorLine, { options }))).toBe("undefined 0 undefined");
  expect(renderToString(createElement(TaskLine, { task: undefined }))).toBe("none");
  expect(renderToString(createElement(ServerLine, { session: undefined }))).toBe("");
});
