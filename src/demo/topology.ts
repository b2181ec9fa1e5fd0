import type { Diagnostics } from "../client/index.ts";
import { bareUrl } from "./address.ts";
import { button, element, shape } from "./element.ts";

const rowHeight = 46;
const shownTabs = 4;

/** What the picture shows of this tab alone. */
export interface OwnTasks {
  readonly tasks: number;
  /** Servers that have tasks of this tab, running or queued. */
  readonly busyServerIds: readonly string[];
}

/** The picture of what the library is for: many tabs, one worker, one socket to each server. */
export class Topology {
  readonly view = element("section", {
    class: "topology",
    "aria-label": "Tabs, worker and servers",
    "data-testid": "topology",
  });
  readonly #openTab = button("Open another tab", { class: "node node-add", "data-testid": "open-tab" }, () =>
    window.open(location.href, "_blank", "noopener"),
  );
  #shown = "";

  show(host: Diagnostics, own: OwnTasks): void {
    const facts = JSON.stringify([host.mode, host.tabs, host.servers, own]);
    if (facts === this.#shown) return;
    this.#shown = facts;

    const sockets = host.servers.reduce((sum, server) => sum + server.sockets, 0);
    const tabs = tabNodes(host.tabs, own.tasks);
    const rows = Math.max(tabs.length + 1, host.servers.length);
    const height = rows * rowHeight;
    const middle = height / 2;
    const heightsOf = (count: number) =>
      Array.from({ length: count }, (_, index) => middle + (index + 0.5 - count / 2) * rowHeight);
    const tabHeights = heightsOf(tabs.length + 1);
    const serverHeights = heightsOf(host.servers.length);

    const hadFocus = document.activeElement === this.#openTab;
    this.view.style.setProperty("--picture-height", `${height}px`);
    this.view.replaceChildren(
      count("tabs", host.tabs, host.tabs === 1 ? "tab open" : "tabs open"),
      element("span"),
      count("workers", 1, workerWords(host)),
      element("span"),
      count("sockets", sockets, socketWords(sockets, host.servers.length)),
      element("div", { class: "nodes" }, ...tabs, this.#openTab),
      wires(
        height,
        tabHeights.map((y, index) => ({
          from: y,
          to: middle,
          kind: index === tabs.length ? "wire-absent" : index === 0 ? "wire-own" : "",
          flows: index === 0 && own.busyServerIds.length > 0,
        })),
      ),
      element(
        "div",
        { class: "nodes" },
        element(
          "div",
          { class: "node node-worker" },
          element("b", {}, host.mode === "shared" ? "SharedWorker" : "Worker"),
          element("span", { class: "node-fact" }, "routes each task to its tab"),
        ),
      ),
      wires(
        height,
        host.servers.map((server, index) => ({
          from: middle,
          to: serverHeights[index] ?? middle,
          kind: server.sockets ? "wire-socket" : "wire-absent",
          flows: Boolean(server.sockets) && own.busyServerIds.includes(server.id),
        })),
      ),
      element("div", { class: "nodes" }, ...host.servers.map(serverNode)),
    );
    if (hadFocus) this.#openTab.focus();
  }
}

function count(name: string, value: number, words: string): HTMLElement {
  return element(
    "p",
    { class: `count count-${name}`, "data-testid": `count-${name}`, "data-count": value },
    element("b", {}, String(value)),
    element("span", {}, words),
  );
}

function workerWords({ mode, tabs }: Diagnostics): string {
  if (mode === "solo") return "worker, for this tab alone";
  return tabs === 1 ? "worker" : "worker for all tabs";
}

function socketWords(sockets: number, servers: number): string {
  const noun = sockets === 1 ? "socket" : "sockets";
  if (servers === 1) return `${noun} to the server`;
  return sockets === servers ? `${noun}, one per server` : `${noun} to ${servers} servers`;
}

function tabNodes(tabs: number, ownTasks: number): HTMLElement[] {
  const own = element(
    "div",
    { class: "node node-tab node-own" },
    element("b", {}, "This tab"),
    element(
      "span",
      { class: "node-fact", "data-testid": "own-tasks", "data-count": ownTasks },
      ownTasks === 1 ? "1 task" : `${ownTasks} tasks`,
    ),
  );
  const others = tabs - 1;
  const alone = others <= shownTabs - 1 ? others : shownTabs - 2;
  const nodes = Array.from({ length: alone }, () => otherTab("Another tab"));
  if (others > alone) nodes.push(otherTab(`${others - alone} more tabs`));
  return [own, ...nodes];
}

const otherTab = (name: string) =>
  element(
    "div",
    { class: "node node-tab" },
    element("b", {}, name),
    element("span", { class: "node-fact" }, "its own tasks"),
  );

const serverNode = (server: Diagnostics["servers"][number]) =>
  element(
    "div",
    { class: "node node-server", "data-sockets": server.sockets },
    element("b", {}, server.id === server.url ? bareUrl(server.url) : server.id),
    element("span", { class: "node-fact" }, server.sockets === 1 ? "1 socket" : `${server.sockets} sockets`),
  );

interface Wire {
  readonly from: number;
  readonly to: number;
  readonly kind: string;
  /** Whether something of this tab's is under way along it. */
  readonly flows: boolean;
}

/** Lines between two columns. Heights are exact; the width is whatever lies between the columns. */
function wires(height: number, lines: readonly Wire[]): SVGSVGElement {
  return shape(
    "svg",
    { class: "wires", viewBox: `0 0 100 ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    // The tab's own wire lies on top.
    ...[...lines].reverse().flatMap(({ from, to, kind, flows }) => {
      const d = `M0 ${from}C50 ${from} 50 ${to} 100 ${to}`;
      const line = shape("path", { class: `wire ${kind}`, d });
      return flows ? [line, shape("path", { class: "wire-flow", d })] : [line];
    }),
  );
}
