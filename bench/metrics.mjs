import { median } from "./figures.mjs";

/**
 * What is measured. `measure` gives one side's figure of one run; `target` bounds the ratio to `direct`.
 *
 * @typedef {object} Metric
 * @property {string} name for `--only`
 * @property {string} title
 * @property {string} unit
 * @property {{ atLeast: number } | { atMost: number }} [target] none: told, not judged
 * @property {(tab: Tab, side: string, openNewTab: OpenNewTab) => Promise<Figure>} measure
 *
 * @typedef {{ call(name: string, ...args: unknown[]): Promise<any> }} Tab
 * @typedef {(side: string) => Promise<{ answer: { afterMs: number, sinceNavigationMs: number }, close(): Promise<void> }>} OpenNewTab
 * @typedef {{ value: number, [more: string]: unknown }} Figure
 */

/** Outputs of one task are passed on live up to 1 MiB; this many stay below. */
const floodCount = 6000;

/** @type {readonly Metric[]} */
export const metrics = [
  {
    name: "flood",
    title: "flood of outputs",
    unit: "events/s",
    target: { atLeast: 0.9 },
    async measure(tab, side) {
      const { perSecond } = await tab.call("flood", side, { kind: "executed", count: floodCount });
      return { value: perSecond };
    },
  },
  {
    name: "custom",
    title: "flood of custom messages",
    unit: "events/s",
    async measure(tab, side) {
      const { perSecond } = await tab.call("flood", side, { kind: "custom", count: floodCount });
      return { value: perSecond };
    },
  },
  {
    name: "progress",
    title: "flood of progress, until the newest shows",
    unit: "frames/s",
    async measure(tab, side) {
      const { perSecond, told } = await tab.call("progressFlood", side, { count: 20_000 });
      return { value: perSecond, told };
    },
  },
  {
    name: "paced",
    title: "latency at 200/s",
    unit: "ms",
    target: { atMost: 2.2 },
    async measure(tab, side) {
      const { medianMs, p95Ms } = await tab.call("paced", side, { count: 300, everyMs: 5 });
      return { value: medianMs, p95Ms };
    },
  },
  {
    name: "new-tab",
    title: "first answer in a new tab",
    unit: "ms",
    target: { atMost: 0.9 },
    async measure(_tab, side, openNewTab) {
      const answers = [];
      for (let n = 0; n < 3; n += 1) {
        const { answer, close } = await openNewTab(side);
        answers.push(answer);
        await close();
      }
      return {
        value: median(answers.map(({ afterMs }) => afterMs)),
        sinceNavigationMs: median(answers.map(({ sinceNavigationMs }) => sinceNavigationMs)),
      };
    },
  },
  {
    name: "previews",
    title: "previews of 256 KiB",
    unit: "MB/s",
    target: { atLeast: 0.65 },
    async measure(tab, side) {
      const { megabytesPerSecond } = await tab.call("previews", side, {
        count: 160,
        bytes: 256 * 1024,
        window: 8,
      });
      return { value: megabytesPerSecond };
    },
  },
];

/** @param {NonNullable<Metric["target"]>} target @param {number} ratio */
export const isMet = (target, ratio) =>
  "atLeast" in target ? ratio >= target.atLeast : ratio <= target.atMost;
