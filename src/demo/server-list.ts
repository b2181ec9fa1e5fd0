import type { ServerLock, ServerSnapshot, Session } from "../client/index.ts";
import { bareUrl } from "./address.ts";
import type { Announcer } from "./announcer.ts";
import { button, element } from "./element.ts";

const connectionWords: { readonly [at in ServerSnapshot["connection"]]: string } = {
  idle: "Idle",
  connecting: "Connecting",
  open: "Connected",
  waiting: "Trying again soon",
};

type Mode = "exclusive" | "shared";

/** The servers of this tab: whether they are connected, how long their queues are, and who has locked them. */
export class ServerList {
  readonly #list = element("ul", { class: "servers" });
  readonly #items = new Map<string, ServerItem>();
  readonly #makeItem: (id: string) => ServerItem;
  readonly view: HTMLElement;

  /** @param simulated whether the servers are simulators, which the page then says, and can stop */
  constructor(session: Session, announcer: Announcer, simulated: boolean) {
    this.#makeItem = (id) => new ServerItem(id, session, announcer, simulated);
    this.view = element(
      "section",
      { class: "panel", "aria-labelledby": "servers-heading" },
      element("h2", { id: "servers-heading" }, "Servers"),
      this.#list,
      simulated
        ? element(
            "p",
            { class: "hint" },
            "Simulators: no GPU, no models, ComfyUI's own protocol. For a real one: ",
            element("code", {}, "npm start -- --server http://127.0.0.1:8188"),
          )
        : undefined,
    );
  }

  show(servers: readonly ServerSnapshot[]): void {
    for (const server of servers) {
      let item = this.#items.get(server.id);
      if (!item) {
        item = this.#makeItem(server.id);
        this.#items.set(server.id, item);
        this.#list.append(item.view);
      }
      item.show(server);
    }
  }
}

/** One server. Its buttons stay the same elements: whoever uses the keyboard does not lose their place. */
class ServerItem {
  readonly view: HTMLLIElement;
  readonly #id: string;
  readonly #session: Session;
  readonly #announcer: Announcer;
  readonly #facts = element("div", { class: "server-news" });
  readonly #share: HTMLButtonElement;
  readonly #lock: HTMLButtonElement;
  readonly #release: HTMLButtonElement;
  readonly #power: HTMLButtonElement | undefined;
  #held: ServerLock | undefined;
  #waiting: AbortController | undefined;
  #server: ServerSnapshot | undefined;

  constructor(id: string, session: Session, announcer: Announcer, simulated: boolean) {
    this.#id = id;
    this.#session = session;
    this.#announcer = announcer;
    this.view = element("li", { class: "server", "data-testid": "server", "data-server-id": id });
    const act = (text: string, name: string, title: string, run: () => void) =>
      button(text, { class: "small", "data-testid": name, "aria-label": `${text}: ${id}`, title }, run);
    this.#share = act("Prefer", "lock-shared", "Shared lock: this tab's tasks go here", () =>
      this.#take("shared"),
    );
    this.#lock = act("Lock", "lock-exclusive", "Exclusive lock: other tabs' new tasks stay away, too", () =>
      this.#take("exclusive"),
    );
    this.#release = act("Release", "unlock", "Ends the lock, or the wait for it", () => void this.#letGo());
    this.#power = simulated
      ? act(
          "Stop",
          "power",
          "Ends this simulator, its queue and history, while tasks run",
          () => void this.#toggle(),
        )
      : undefined;
    const buttons = element(
      "div",
      { class: "server-actions" },
      this.#share,
      this.#lock,
      this.#release,
      this.#power,
    );
    this.view.append(this.#facts, buttons);
  }

  show(server: ServerSnapshot): void {
    this.#server = server;
    const { connection, queueRemaining, version, error, url } = server;
    this.view.dataset.connection = connection;
    const name = this.#id === url ? bareUrl(url) : this.#id;
    const facts = [
      connectionWords[connection],
      version && `ComfyUI ${version}`,
      name !== bareUrl(url) && bareUrl(url),
    ];
    this.#facts.replaceChildren(
      element("span", { class: "server-name" }, name),
      queueRemaining === undefined
        ? ""
        : element(
            "span",
            { class: "server-queue", "data-testid": "queue" },
            element("b", {}, String(queueRemaining)),
            " in queue",
          ),
      element("span", { class: "server-facts" }, facts.filter(Boolean).join(" · ")),
      this.#lockFact() ?? "",
      error ? element("span", { class: "server-error" }, error.message) : "",
    );
    const busy = this.#held !== undefined || this.#waiting !== undefined;
    const focused = document.activeElement;
    this.#share.hidden = busy;
    this.#lock.hidden = busy;
    this.#release.hidden = !busy;
    // What takes the place of a button that has gone takes its focus, too.
    if (busy && (focused === this.#share || focused === this.#lock)) this.#release.focus();
    if (!busy && focused === this.#release) this.#lock.focus();
    if (this.#power) {
      const order = this.#isDown() ? "Start" : "Stop";
      this.#power.textContent = order;
      this.#power.setAttribute("aria-label", `${order}: ${this.#id}`);
    }
  }

  #lockFact(): HTMLElement | undefined {
    const { lock } = this.#server ?? {};
    const whose = lock && (lock.by === "this-tab" ? "this tab" : "another tab");
    const sentence = this.#waiting
      ? `Waiting: locked by ${whose ?? "another tab"}`
      : lock && `${lock.mode === "exclusive" ? "Locked" : "Preferred"} by ${whose}`;
    if (!sentence) return undefined;
    return element(
      "span",
      { class: `server-lock${lock?.by === "this-tab" ? " server-lock-own" : ""}`, "data-testid": "lock" },
      sentence,
    );
  }

  #refresh(): void {
    if (this.#server) this.show(this.#server);
  }

  async #take(mode: Mode): Promise<void> {
    const waiting = new AbortController();
    this.#waiting = waiting;
    this.#refresh();
    try {
      const lock = await this.#session.lockServer(this.#id, { mode, signal: waiting.signal });
      this.#held = lock;
      this.#announcer.say(`${this.#id} ${mode === "exclusive" ? "locked" : "preferred"}`);
      void lock.lost.then(() => this.#lost(lock));
    } catch (error) {
      if (!waiting.signal.aborted) this.#announcer.say((error as Error).message);
    } finally {
      this.#waiting = undefined;
      this.#refresh();
    }
  }

  #lost(lock: ServerLock): void {
    if (this.#held !== lock) return;
    this.#held = undefined;
    this.#announcer.say(`${this.#id} is not locked for this tab any more`);
    this.#refresh();
  }

  async #letGo(): Promise<void> {
    this.#waiting?.abort();
    const held = this.#held;
    this.#held = undefined;
    try {
      await held?.release();
    } catch (error) {
      this.#announcer.say((error as Error).message);
    }
    this.#refresh();
  }

  /** Also where another tab has stopped it. */
  #isDown(): boolean {
    return this.#server?.connection !== "open" && this.#server?.error !== undefined;
  }

  async #toggle(): Promise<void> {
    const order = this.#isDown() ? "start" : "stop";
    const url = `${import.meta.env.BASE_URL}simulators/${this.#id}/${order}`;
    const done = await fetch(url, { method: "POST" }).then(
      ({ ok }) => ok,
      () => false,
    );
    this.#announcer.say(
      done ? `${this.#id} ${order === "stop" ? "stopped" : "started"}` : "That did not work",
    );
    this.#refresh();
  }
}
