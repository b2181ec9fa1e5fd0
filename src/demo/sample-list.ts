import type { ObjectInfo } from "../client/index.ts";
import { button, element } from "./element.ts";
import { missingClasses, withKnownCheckpoint } from "./sample-fit.ts";
import { type Sample, samples } from "./samples.ts";

/** What may be done with a sample. */
export interface SampleListener {
  run(sample: Sample): void;
  edit(sample: Sample): void;
}

/** The samples, each with what will come of it, or with why this server cannot run it. */
export class SampleList {
  readonly view: HTMLElement;
  readonly #rows = new Map<
    Sample,
    { readonly row: HTMLElement; readonly why: HTMLElement; readonly run: HTMLButtonElement }
  >();

  constructor(listener: SampleListener) {
    this.view = element("ul", { class: "samples" });
    for (const sample of samples) {
      const whyId = `why-${sample.id}`;
      const why = element("span", { class: "sample-outcome", id: whyId }, sample.outcome);
      const run = button("Run", { "aria-label": `Run ${sample.title}`, "aria-describedby": whyId }, () => {
        if (run.getAttribute("aria-disabled") !== "true") listener.run(sample);
      });
      const edit = button("Edit", { class: "quiet", "aria-label": `Edit ${sample.title}` }, () =>
        listener.edit(sample),
      );
      const row = element(
        "li",
        { class: "sample", "data-testid": "sample", "data-sample": sample.id },
        element("b", {}, sample.title),
        element("span", { class: "sample-buttons" }, edit, run),
        why,
      );
      this.#rows.set(sample, { row, why, run });
      this.view.append(row);
    }
  }

  /** Marks what the servers cannot run. @param known what each server that answered has */
  fit(known: readonly ObjectInfo[]): void {
    if (known.length === 0) return;
    for (const [sample, { row, why, run }] of this.#rows) {
      const lacks = known.map((info) => obstacle(sample, info));
      const runnable = lacks.some((lack) => lack === undefined);
      row.classList.toggle("sample-unfit", !runnable);
      run.setAttribute("aria-disabled", String(!runnable));
      why.textContent = runnable ? sample.outcome : (lacks[0] ?? "");
    }
  }
}

/** Why a server cannot run a sample; undefined when it can, or when it is meant to refuse. */
function obstacle(sample: Sample, known: ObjectInfo): string | undefined {
  if (sample.id === "editor-format") return undefined;
  const workflow = sample.build();
  const missing = missingClasses(workflow, known);
  if (missing.length > 0) return `Not on this server: it has no ${missing.join(", no ")}`;
  if (!sample.meantToFail && !withKnownCheckpoint(workflow, known))
    return "Not on this server: it has no checkpoint";
  return undefined;
}
