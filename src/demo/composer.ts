import { ComfyTabsError, type ObjectInfo, type Session, type Task, type Workflow } from "../client/index.ts";
import { button, element } from "./element.ts";
import { type Failure, failureOf } from "./failure.ts";
import { failureNote } from "./failure-note.ts";
import { rememberNodeNames } from "./node-names.ts";
import { withKnownCheckpoint } from "./sample-fit.ts";
import { SampleList } from "./sample-list.ts";
import type { Sample } from "./samples.ts";
import { ServerPicker } from "./server-picker.ts";

/** Where tasks begin: samples, a pasted workflow, or files. */
export class Composer {
  readonly view: HTMLElement;
  readonly #session: Session;
  readonly #submitted: (task: Task) => void;
  readonly #samples: SampleList;
  readonly #picker: ServerPicker;
  readonly #refusal = element("div", { class: "refusal", role: "status", "data-testid": "refusal" });
  readonly #text = element("textarea", {
    id: "workflow",
    rows: 5,
    spellcheck: "false",
    placeholder: '{ "3": { "class_type": "KSampler", … } }',
    "data-testid": "workflow",
  });
  readonly #infoByServer = new Map<string, ObjectInfo>();

  /** @param submitted called with each new task */
  constructor(session: Session, submitted: (task: Task) => void) {
    this.#session = session;
    this.#submitted = submitted;
    this.#samples = new SampleList({
      run: (sample) => this.#runSample(sample),
      edit: (sample) => this.#edit(sample),
    });
    this.#picker = new ServerPicker(session.servers());
    const files = element("input", {
      type: "file",
      accept: ".json,application/json",
      multiple: true,
      hidden: true,
    });
    files.addEventListener("change", () => {
      void this.submitFiles([...(files.files ?? [])]).finally(() => {
        files.value = "";
      });
    });
    this.view = element(
      "section",
      { class: "panel", "aria-labelledby": "composer-heading" },
      element("h2", { id: "composer-heading" }, "New task"),
      this.#samples.view,
      this.#refusal,
      element("label", { for: "workflow", class: "field-name" }, "Your own workflow"),
      this.#text,
      element(
        "div",
        { class: "composer-foot" },
        this.#picker.view,
        button("Choose files…", { class: "quiet" }, () => files.click()),
        button(
          "Run",
          { class: "primary", "aria-label": "Run your own workflow", "data-testid": "run-own" },
          () => this.#runText(),
        ),
        files,
      ),
      element(
        "p",
        { class: "hint" },
        "Paste what ComfyUI’s “Export (API)” saved, or drop such files anywhere on this page.",
      ),
    );
  }

  /** Learns which nodes the servers have, as far as they answer. */
  async learnNodes(): Promise<void> {
    await Promise.allSettled(
      this.#session.servers().map(async ({ id }) => {
        if (!this.#infoByServer.has(id)) this.#infoByServer.set(id, await this.#session.objectInfo(id));
      }),
    );
    this.#samples.fit([...this.#infoByServer.values()]);
  }

  async submitFiles(files: readonly File[]): Promise<void> {
    this.#refusal.replaceChildren();
    for (const file of files) {
      const name = file.name.replace(/\.json$/i, "");
      // It may be a folder, or have gone.
      const text = await file.text().catch((error: Error) => error);
      if (typeof text === "string") await this.#submitJson(text, name);
      else this.#refuse("This file cannot be read", `${name}: ${text.message}`);
    }
  }

  #runSample(sample: Sample): void {
    this.#refusal.replaceChildren();
    void this.#submit(this.#fitted(sample), sample.title);
  }

  #edit(sample: Sample): void {
    this.#text.value = JSON.stringify(this.#fitted(sample), undefined, 2);
    this.#text.focus();
    this.#text.setSelectionRange(0, 0);
    this.#text.scrollTop = 0;
  }

  #runText(): void {
    this.#refusal.replaceChildren();
    if (this.#text.value.trim() === "") {
      this.#text.focus();
      this.#refuse("There is no workflow yet", "Paste one, choose a file, or run a sample.");
      return;
    }
    void this.#submitJson(this.#text.value, "Pasted workflow");
  }

  async #submitJson(json: string, label: string): Promise<void> {
    let workflow: Workflow;
    try {
      workflow = JSON.parse(json);
    } catch (error) {
      this.#refuse("This is not JSON", `${label}: ${(error as Error).message}`);
      return;
    }
    await this.#submit(workflow, label, `${label}: `);
  }

  /** @param whose what a refusal begins with */
  async #submit(workflow: Workflow, label: string, whose = ""): Promise<void> {
    const server = this.#picker.choice;
    try {
      const task = await this.#session.submit(workflow, server === undefined ? { label } : { label, server });
      rememberNodeNames(task.id, workflow);
      this.#submitted(task);
    } catch (error) {
      if (!(error instanceof ComfyTabsError)) throw error;
      const failure = failureOf(error);
      this.#tell({ ...failure, sentence: whose + failure.sentence });
      this.#refusal.scrollIntoView({ block: "nearest" });
    }
  }

  #refuse(title: string, sentence: string): void {
    this.#tell({ title, sentence, particulars: [], trace: undefined });
  }

  /** Beside what was said of other files that came with this one. */
  #tell(failure: Failure): void {
    this.#refusal.append(failureNote(failure));
  }

  /** The sample with a checkpoint that the server has, unless it is there to be refused. */
  #fitted(sample: Sample): Workflow {
    const workflow = sample.build();
    if (sample.meantToFail) return workflow;
    const known = this.#picker.choice
      ? this.#infoByServer.get(this.#picker.choice)
      : this.#infoByServer.values().next().value;
    return (known && withKnownCheckpoint(workflow, known)) ?? workflow;
  }
}
