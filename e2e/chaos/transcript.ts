import type { Told, ToldTask } from "./told.ts";

/** What was done and told, one line each, in order. */
export interface Transcript {
  /** @param about the label of the task that it concerns; without one it concerns all */
  note(text: string, about?: string): void;
  told(told: Told, tab: string): void;
  whole(): string;
  /** What concerns these tasks, and what was done to everybody. */
  about(findings: readonly string[]): string;
}

const quiet: readonly Told["kind"][] = ["arrived", "outbox", "stored"];

/** Short: a page shows all that its tab has ever submitted. */
const listOf = (tasks: readonly ToldTask[]): string =>
  tasks.map(({ label, status }) => `${label.split("#").at(-1)} ${status}`).join(", ");

export function createTranscript(): Transcript {
  const startedAt = Date.now();
  const lines: { readonly text: string; readonly about: string | undefined }[] = [];

  function note(text: string, about?: string): void {
    const at = ((Date.now() - startedAt) / 1000).toFixed(3).padStart(9);
    lines.push({
      text: `${at} ${text}${about?.includes("#") && !text.includes(about) ? ` (${about})` : ""}`,
      about,
    });
  }
  const join = (some: typeof lines): string => some.map(({ text }) => text).join("\n");

  return {
    note,
    told({ page, tabId, at, ...what }, tab) {
      if (quiet.includes(what.kind)) return;
      const { kind, ...more } = what;
      const about = "label" in more ? more.label : undefined;
      const text = what.kind === "opened" ? listOf(what.tasks) : JSON.stringify(more);
      note(`${tab} (${tabId}, page ${page.slice(0, 8)}): ${kind} ${text}`, about ?? tabId);
    },
    whole: () => join(lines),
    about(findings) {
      const concerned = ({ about }: { about: string | undefined }): boolean =>
        about === undefined ||
        findings.some((finding) =>
          about.includes("#") ? finding.startsWith(`${about}:`) : finding.includes(about),
        );
      return join(lines.filter(concerned));
    },
  };
}
