import type { ServerSnapshot } from "../client/index.ts";
import { bareUrl } from "./address.ts";
import { element } from "./element.ts";

const connectionWords: { readonly [at in ServerSnapshot["connection"]]: string } = {
  idle: "Idle",
  connecting: "Connecting",
  open: "Connected",
  waiting: "Trying again soon",
};

/** The servers of this tab: whether they are connected, and how long their queues are. */
export class ServerList {
  readonly #list = element("ul", { class: "servers" });
  readonly view: HTMLElement;

  /** @param simulated whether the servers are simulators, which the page then says */
  constructor(simulated: boolean) {
    this.view = element(
      "section",
      { class: "panel", "aria-labelledby": "servers-heading" },
      element("h2", { id: "servers-heading" }, "Servers"),
      this.#list,
      simulated
        ? element(
            "p",
            { class: "hint" },
            "A simulator: no GPU, no models, ComfyUI's own protocol. For a real one: ",
            element("code", {}, "npm start -- --server http://127.0.0.1:8188"),
          )
        : undefined,
    );
  }

  show(servers: readonly ServerSnapshot[]): void {
    this.#list.replaceChildren(...servers.map(serverItem));
  }
}

function serverItem(server: ServerSnapshot): HTMLElement {
  const queue =
    server.queueRemaining === undefined
      ? undefined
      : element(
          "span",
          { class: "server-queue", "data-testid": "queue" },
          element("b", {}, String(server.queueRemaining)),
          " in queue",
        );
  return element(
    "li",
    {
      class: "server",
      "data-testid": "server",
      "data-server-id": server.id,
      "data-connection": server.connection,
    },
    element("span", { class: "server-name" }, server.id === server.url ? bareUrl(server.url) : server.id),
    queue,
    element(
      "span",
      { class: "server-facts" },
      [
        connectionWords[server.connection],
        server.version && `ComfyUI ${server.version}`,
        server.id !== server.url && bareUrl(server.url),
      ]
        .filter(Boolean)
        .join(" · "),
    ),
    server.error ? element("span", { class: "server-error" }, server.error.message) : undefined,
  );
}
