import { element } from "./element.ts";

/** How much of a run is done, as a line. */
export class ProgressBar {
  readonly #fill = element("div", { class: "progress-fill" });
  readonly view = element(
    "div",
    {
      class: "progress",
      role: "progressbar",
      "aria-label": "Progress",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    },
    this.#fill,
  );

  /** @param share 0 to 1; of nothing at all it is no number */
  show(share: number): void {
    const bounded = Math.min(1, Math.max(0, share || 0));
    this.#fill.style.transform = `scaleX(${bounded})`;
    this.view.setAttribute("aria-valuenow", String(Math.round(bounded * 100)));
  }
}
