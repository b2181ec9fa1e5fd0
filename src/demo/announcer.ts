import { element } from "./element.ts";

/** Tells people who do not see the page what has happened, when they have a moment. */
export class Announcer {
  readonly view = element("p", { class: "unseen", role: "status", "aria-live": "polite" });

  say(sentence: string): void {
    this.view.textContent = sentence;
  }
}
