// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test } from "vitest";
import { type App, createApp, createSSRApp, h, shallowRef } from "vue";
import { renderToString } from "vue/server-renderer";
import type { ConnectOptions, Session, Task } from "../api.ts";
import { type Browser, createBrowser } from "../testing/browser.ts";
import { isAt, workflow } from "../testing/task.ts";
import { useComfy, useServers, useTask } from "./index.ts";

let browser: Browser;
let app: App | undefined;
let element: HTMLElement;
beforeEach(() => {
  browser = createBrowser();
  element = document.createElement("main");
});
afterEach(() => {
  app?.unmount();
  browser.end();
});

/** A component that shows what `setup` says. */
const saying = (setup: () => () => string) => ({
  setup() {
    const say = setup();
    return () => h("p", say());
  },
});

function render(setup: () => () => string): void {
  app = createApp(saying(setup));
  app.mount(element);
}

const shows = (text: string) => expect.poll(() => element.textContent, { timeout: 4_000 }).toBe(text);

test("useTask follows the task, and another one when it is given another", async () => {
  const session = await browser.openPage().connect();
  const [first, second] = [await session.submit(workflow), await session.submit(workflow)];
  await isAt(second, "queued");
  const task = shallowRef<Task>();
  render(() => {
    const view = useTask(task);
    return () =>
      view.value
        ? `${view.value.status} ${view.value.progress?.value ?? "-"} ${view.value.error?.code ?? ""}`
        : "none";
  });
  await shows("none");
  task.value = first;
  await shows("queued - ");
  browser.comfy.start(first.promptId ?? "");
  browser.comfy.progress(first.promptId ?? "", 3);
  await shows("running 3 ");
  browser.comfy.fail(first.promptId ?? "");
  await shows("failed 3 node-failed");
  task.value = second;
  await shows("queued - ");
});

test("useTask shows nothing of a task that is not the one any more", async () => {
  const session = await browser.openPage().connect();
  const [ended, open] = [await session.submit(workflow), await session.submit(workflow)];
  await isAt(ended, "queued");
  browser.comfy.finish(ended.promptId ?? "");
  await isAt(ended, "succeeded");
  const task = shallowRef<Task | undefined>(open);
  render(() => {
    const view = useTask(task);
    return () => view.value?.status ?? "none";
  });
  await shows("queued");
  task.value = undefined;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(element.textContent).toBe("none");
});

test("useServers shows the session's servers as they change", async () => {
  const session = shallowRef<Session>();
  render(() => {
    const servers = useServers(session);
    return () => servers.value.map(({ id, queueRemaining }) => `${id} ${queueRemaining}`).join();
  });
  session.value = await browser.openPage().connect();
  await shows("http://comfy.test 0");
  browser.comfy.say("status", { status: { exec_info: { queue_remaining: 4 } } });
  await shows("http://comfy.test 4");
});

test("useComfy tells why there is no session, and tries again with other options", async () => {
  const options = shallowRef<ConnectOptions>({ servers: [] });
  render(() => {
    const comfy = useComfy(options);
    return () => `${String(comfy.value.session)} ${comfy.value.error?.message}`;
  });
  await shows("undefined `servers` has to be a list of at least one server.");
  options.value = { servers: ["http://comfy.test"], name: "" };
  await shows("undefined `name` has to be a text of 1 to 200 characters.");
});

test("all of them render on a server, where nothing connects", async () => {
  const page = saying(() => {
    const comfy = useComfy({ servers: ["http://comfy.test"] });
    const [view, servers] = [useTask(undefined), useServers(undefined)];
    return () =>
      `${comfy.value.error?.code} ${comfy.value.tasks.length} ${view.value} ${servers.value.length}`;
  });
  expect(await renderToString(createSSRApp(page))).toBe("<p>undefined 0 undefined 0</p>");
});
