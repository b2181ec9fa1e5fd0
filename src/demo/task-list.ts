import type { Task } from "../client/index.ts";
import type { Announcer } from "./announcer.ts";
import { button, element } from "./element.ts";
import { forgetNodeNames } from "./node-names.ts";
import { type CardListener, TaskCard } from "./task-card.ts";

/** This tab's tasks, the newest first. */
export class TaskList {
  readonly view: HTMLElement;
  readonly #cards = new Map<string, TaskCard>();
  readonly #list = element("ul", { class: "cards", "data-testid": "tasks" });
  readonly #heading = element("h2", { id: "tasks-heading", tabindex: -1 }, "Tasks of this tab");
  readonly #empty = element(
    "div",
    { class: "empty" },
    element("p", {}, "Nothing here yet."),
    element(
      "p",
      {},
      "Run a sample, then open another tab: it starts empty too, and stays so until it runs its own.",
    ),
  );
  readonly #dismissAll: HTMLButtonElement;
  readonly #announcer: Announcer;
  readonly #changed: () => void;

  /** @param changed called when tasks come, go, begin or end */
  constructor(announcer: Announcer, changed: () => void) {
    this.#announcer = announcer;
    this.#changed = changed;
    this.#dismissAll = button("Dismiss finished", { class: "quiet", hidden: true }, () =>
      this.#dismissFinished(),
    );
    this.view = element(
      "section",
      { class: "tasks", "aria-labelledby": "tasks-heading" },
      element("header", { class: "section-head" }, this.#heading, this.#dismissAll),
      this.#empty,
      this.#list,
    );
  }

  get count(): number {
    return this.#cards.size;
  }

  get openCount(): number {
    return [...this.#cards.values()].filter((card) => card.isOpen).length;
  }

  /** Servers that have tasks of this tab, running or queued. */
  get busyServerIds(): string[] {
    const open = [...this.#cards.values()].filter((card) => card.isOpen);
    return [...new Set(open.flatMap(({ task }) => task.serverId ?? []))].sort();
  }

  /** These are all that there are. */
  show(tasks: readonly Task[]): void {
    const there = new Set(tasks.map(({ id }) => id));
    for (const [id, card] of this.#cards) if (!there.has(id)) this.#remove(card);
    for (const task of tasks) this.add(task);
  }

  /** @returns the task's card on the page */
  add(task: Task): HTMLElement {
    const present = this.#cards.get(task.id);
    if (present) return present.view;
    const listener: CardListener = {
      changed: () => this.#refresh(),
      ended: (sentence) => this.#announcer.say(sentence),
      dismissed: (card) => this.#remove(card),
    };
    const card = new TaskCard(task, listener);
    this.#cards.set(task.id, card);
    this.#list.prepend(card.view);
    this.#refresh();
    void card.follow();
    return card.view;
  }

  #remove(card: TaskCard): void {
    if (!this.#cards.has(card.task.id)) return;
    const neighbour = card.view.nextElementSibling ?? card.view.previousElementSibling ?? this.#heading;
    const hadFocus = card.view.contains(document.activeElement);
    forgetNodeNames(card.task.id);
    this.#cards.delete(card.task.id);
    card.view.remove();
    if (hadFocus && neighbour instanceof HTMLElement) neighbour.focus();
    this.#refresh();
  }

  async #dismissFinished(): Promise<void> {
    const finished = [...this.#cards.values()].filter((card) => !card.isOpen);
    this.#heading.focus();
    await Promise.all(finished.map((card) => card.dismiss()));
  }

  #refresh(): void {
    this.#empty.hidden = this.#cards.size > 0;
    this.#dismissAll.hidden = this.#cards.size - this.openCount < 2;
    this.#changed();
  }
}
