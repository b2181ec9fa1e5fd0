import { ComfyTabsError, type Task, type TaskEvent } from "../client/index.ts";
import { bareUrl } from "./address.ts";
import { button, element } from "./element.ts";
import { type Failure, failureOf } from "./failure.ts";
import { failureNote } from "./failure-note.ts";
import { Gallery } from "./gallery.ts";
import { nodeNames } from "./node-names.ts";
import { ProgressBar } from "./progress-bar.ts";

/** What a card tells the list that it stands in. */
export interface CardListener {
  /** The task has another status than before. */
  changed(): void;
  /** The task has ended, and nobody has been told yet. */
  ended(sentence: string): void;
  dismissed(card: TaskCard): void;
}

const statusWords: { readonly [status in Task["status"]]: string } = {
  submitting: "Not sent yet",
  queued: "Queued",
  running: "Running",
  succeeded: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
  lost: "Lost",
};

const isOpen = (status: Task["status"]): boolean =>
  status === "submitting" || status === "queued" || status === "running";

/** One task of this tab, from submission to dismissal. */
export class TaskCard {
  readonly task: Task;
  readonly view: HTMLElement;
  readonly title: string;
  readonly #listener: CardListener;
  readonly #nameOf: (nodeId: string) => string;
  readonly #status = element("span", { class: "card-status", "data-testid": "status" });
  readonly #facts = element("p", { class: "card-facts" });
  readonly #words = element("p", { class: "card-words", hidden: true });
  readonly #warnings = element("ul", { class: "card-warnings", hidden: true });
  readonly #bar = new ProgressBar();
  readonly #gallery = new Gallery();
  readonly #act: HTMLButtonElement;
  #doing = "";
  #startedAt: number | undefined;
  #endedAt: number | undefined;

  constructor(task: Task, listener: CardListener) {
    this.task = task;
    this.title = task.label ?? "Workflow";
    this.#listener = listener;
    this.#nameOf = nodeNames(task.id);
    this.#act = button("Cancel", { class: "quiet", "data-testid": "act" }, () => this.#cancelOrDismiss());
    const titleId = `title-${task.id}`;
    this.view = element(
      "li",
      {
        class: "card",
        tabindex: -1,
        "aria-labelledby": titleId,
        "data-testid": "task",
        "data-task-id": task.id,
      },
      element(
        "header",
        { class: "card-head" },
        element("h3", { id: titleId }, this.title),
        this.#status,
        this.#act,
      ),
      this.#bar.view,
      this.#facts,
      this.#words,
      this.#warnings,
      this.#gallery.view,
    );
    this.#showStatus();
  }

  get isOpen(): boolean {
    return isOpen(this.task.status);
  }

  /** Shows all that happens to the task, from its first event to its last. */
  async follow(): Promise<void> {
    const wasOpen = this.isOpen;
    for await (const event of this.task) this.#show(event);
    this.#gallery.settle();
    this.#showStatus();
    if (wasOpen) this.#listener.ended(`${this.title}: ${statusWords[this.task.status]}`);
  }

  async dismiss(): Promise<void> {
    try {
      await this.task.dismiss();
      this.#listener.dismissed(this);
    } catch (error) {
      if (!(error instanceof ComfyTabsError)) throw error;
      this.#warn("not-dismissed", error.message);
    }
  }

  #show(event: TaskEvent): void {
    switch (event.type) {
      case "accepted":
        this.#forget("waiting");
        break;
      case "queued":
        this.#doing = event.position === 0 ? "next in line" : `${event.position} before it`;
        break;
      case "started":
        this.#startedAt = event.at;
        this.#doing = "";
        break;
      case "cached":
        if (event.nodeIds.length > 0) this.#doing = `${event.nodeIds.length} nodes from the cache`;
        break;
      case "node":
        this.#doing = this.#nameOf(event.displayNodeId);
        break;
      case "progress":
        this.#doing = `${this.#nameOf(event.nodeId)} ${event.value}/${event.max}`;
        this.#bar.show(event.overall ?? event.value / event.max);
        break;
      case "preview":
        this.#gallery.showPreview(event.image, event.nodeId ? this.#nameOf(event.nodeId) : "preview");
        break;
      case "text":
        this.#words.hidden = false;
        this.#words.textContent = event.text;
        break;
      case "output":
        this.#gallery.showFiles(event.files);
        this.#gallery.showWords(event.output);
        break;
      case "warning":
        this.#warn(event.code, event.message);
        break;
      case "gap":
        if (event.reason === "reconnecting")
          this.#warn(
            "gap",
            "The connection broke: no progress is seen until it is back. How the task ends will still be told.",
          );
        else this.#forget("gap");
        break;
      case "succeeded":
        this.#end(event.at);
        this.#gallery.showFiles(event.result.files);
        this.#bar.show(1);
        break;
      case "failed":
        this.#end(event.at);
        this.#fail(failureOf(event.error));
        break;
      case "cancelled":
        this.#end(event.at);
        if (event.by === "other") this.#warn("by-other", "Somebody else cancelled it at the server.");
        break;
      case "lost":
        this.#end(event.at);
        this.#fail({
          title: "The server no longer knows this task",
          sentence:
            event.reason === "server-restarted"
              ? "It was restarted, and its queue was lost with it."
              : "Somebody removed it from the queue.",
          particulars: [],
          trace: undefined,
        });
        break;
    }
    this.#showStatus();
  }

  #end(at: number): void {
    this.#endedAt = at;
    this.#forget("gap");
    this.#forget("waiting");
  }

  #fail(failure: Failure): void {
    this.#gallery.view.before(failureNote(failure));
  }

  #showStatus(): void {
    const { status } = this.task;
    if (this.view.dataset.status !== status) {
      this.view.dataset.status = status;
      this.#status.textContent = statusWords[status];
      this.#act.textContent = this.isOpen ? "Cancel" : "Dismiss";
      this.#act.setAttribute("aria-label", `${this.#act.textContent} ${this.title}`);
      this.#act.ariaDisabled = null;
      this.#listener.changed();
    }
    const server = this.task.serverId;
    this.#facts.textContent = [server && bareUrl(server), this.isOpen ? this.#doing : this.#duration()]
      .filter(Boolean)
      .join(" · ");
  }

  #duration(): string {
    if (this.#startedAt === undefined || this.#endedAt === undefined) return "";
    return `${((this.#endedAt - this.#startedAt) / 1000).toFixed(1)} s`;
  }

  #warn(code: string, message: string): void {
    this.#forget(code);
    this.#warnings.append(element("li", { "data-code": code }, message));
    this.#warnings.hidden = false;
  }

  #forget(code: string): void {
    for (const line of this.#warnings.children)
      if ((line as HTMLElement).dataset.code === code) line.remove();
    this.#warnings.hidden = this.#warnings.childElementCount === 0;
  }

  async #cancelOrDismiss(): Promise<void> {
    if (!this.isOpen) return this.dismiss();
    if (this.#act.ariaDisabled) return;
    this.#act.textContent = "Cancelling…";
    // Not `disabled`, which would take the focus away.
    this.#act.ariaDisabled = "true";
    try {
      const stopped = await this.task.cancel();
      if (stopped || !this.isOpen) return;
      this.#warn("not-cancelled", "The server has not let go of it yet.");
    } catch (error) {
      if (!(error instanceof ComfyTabsError)) throw error;
      this.#warn("not-cancelled", error.message);
    }
    this.#act.textContent = "Cancel";
    this.#act.ariaDisabled = null;
  }
}
