import type { HostMode, Session } from "../client/index.ts";
import { element } from "./element.ts";

/** Who this tab is, and what kind of host it has. */
export class Masthead {
  readonly view: HTMLElement;
  readonly #mode = element("dd", { "data-testid": "mode" });

  /** @param name of the application, where the page was opened with one */
  constructor({ windowId }: Session, name: string | undefined) {
    this.view = element(
      "header",
      { class: "masthead" },
      element(
        "div",
        {},
        element("h1", {}, "comfy-tabs"),
        element("p", { class: "motto" }, "Many tabs, one worker, one socket per ComfyUI server."),
      ),
      element(
        "dl",
        { class: "identity" },
        element("dt", {}, "Window"),
        element("dd", { "data-testid": "window-id" }, windowId),
        element("dt", {}, "Host mode"),
        this.#mode,
        ...(name ? [element("dt", {}, "Application"), element("dd", {}, name)] : []),
      ),
    );
  }

  /** @param reason why the mode is not what was hoped for */
  show(mode: HostMode, reason?: string): void {
    this.#mode.dataset.mode = mode;
    this.#mode.textContent = reason ? `${mode} (${reason})` : mode;
  }
}
