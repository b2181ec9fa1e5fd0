import { element } from "./element.ts";
import type { Failure } from "./failure.ts";

/** A failure as it stands on the page. */
export function failureNote({ title, sentence, particulars, trace }: Failure): HTMLElement {
  return element(
    "div",
    { class: "failure", "data-testid": "failure" },
    element("p", { class: "failure-title" }, title),
    element("p", {}, sentence),
    particulars.length > 0
      ? element("ul", { class: "failure-particulars" }, ...particulars.map((text) => element("li", {}, text)))
      : undefined,
    trace
      ? element("details", {}, element("summary", {}, "Traceback"), element("pre", { tabindex: 0 }, trace))
      : undefined,
  );
}
