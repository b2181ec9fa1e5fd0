import type { Diagnostics } from "../client/index.ts";
import { element } from "./element.ts";

/** What the host says of itself: a line for everybody, all of it for the curious. */
export class HostFacts {
  readonly #summary = element("span");
  readonly #all = element("pre", { tabindex: 0, "data-testid": "diagnostics" });
  readonly view = element(
    "footer",
    { class: "host-facts" },
    element(
      "details",
      {},
      element("summary", {}, this.#summary, element("span", { class: "host-more" }, "All diagnostics")),
      this.#all,
    ),
  );

  show(host: Diagnostics): void {
    const place = host.journal === "memory" ? "in the worker’s memory" : "on disk";
    this.#summary.textContent = `comfy-tabs ${host.build} · tasks are kept ${place}`;
    this.#all.textContent = JSON.stringify(host, undefined, 2);
  }

  /** @param sentence why the host has nothing to say */
  showSilence(sentence: string): void {
    this.#summary.textContent = sentence;
  }
}
