import type { ServerSnapshot } from "../client/index.ts";
import { bareUrl } from "./address.ts";
import { element } from "./element.ts";

/** Where the next task is to run. With one server there is nothing to pick, and nothing is shown. */
export class ServerPicker {
  readonly view: HTMLElement;
  readonly #select: HTMLSelectElement;

  constructor(servers: readonly ServerSnapshot[]) {
    this.#select = element(
      "select",
      { "aria-label": "Server" },
      element("option", { value: "" }, "Least busy server"),
      ...servers.map(({ id, url }) => element("option", { value: id }, id === url ? bareUrl(url) : id)),
    );
    this.view = element("span", { class: "picker", hidden: servers.length < 2 }, this.#select);
  }

  /** A server's id; undefined leaves it to the host. */
  get choice(): string | undefined {
    return this.#select.value || undefined;
  }
}
