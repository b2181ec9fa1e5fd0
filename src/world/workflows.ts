import { NodeException, type NodeType } from "../simulator/index.ts";

/** What a task of the simulation does at the server. */
export type Kind = "quick" | "steps" | "fails" | "long" | "blocked" | "unheard" | "unstoppable" | "invalid";

const mark = ["INT", { default: 0 }] as const;
const inWorld = { category: "world", module: "world" };

/** As wide as its mark, where that is one of a tab's tasks. */
const pictureOf = (mark: number) => {
  const width = Math.min(mark, 1_000);
  return { width, height: 1, pixels: () => new Uint8Array(3 * width) };
};

/** A PNG says its width here. */
export const markOfPicture = (image: ArrayBuffer): number => new DataView(image).getUint32(16);

/**
 * Nodes that cost nothing to simulate. Each says in all its frames whose it is (its `mark`), so that one
 * that reaches another task gives itself away, also those that carry no prompt id.
 */
export const worldNodes: readonly NodeType[] = [
  {
    ...inWorld,
    name: "WorldSteps",
    inputs: {
      required: { mark, steps: ["INT", {}], delay_ms: ["INT", {}], fail_at: ["INT", {}] },
    },
    outputs: ["INT"],
    isOutput: true,
    *run(inputs, node) {
      const [steps, delay, failAt] = [inputs.steps, inputs.delay_ms, inputs.fail_at].map(Number);
      const update = node.progressBar(steps!);
      for (let step = 0; step < steps!; step += 1) {
        yield delay!;
        if (step === failAt) throw new NodeException("RuntimeError", `mark ${inputs.mark}`);
        yield* update(
          step + 1,
          step === 0 ? { format: "png", picture: pictureOf(Number(inputs.mark)) } : undefined,
        );
        if (step % 2 === 0) node.sendText(`mark ${inputs.mark}`, step % 4 === 0 ? "client" : "everybody");
      }
      return { values: [inputs.mark], ui: { mark: [inputs.mark] } };
    },
  },
  {
    ...inWorld,
    name: "WorldShow",
    inputs: { required: { mark, source: ["*", {}] } },
    outputs: [],
    isOutput: true,
    run: (inputs) => ({ values: [], ui: { mark: [inputs.mark] } }),
  },
  {
    ...inWorld,
    name: "WorldWait",
    inputs: { required: { mark, source: ["*", {}], delay_ms: ["INT", {}] } },
    outputs: [],
    isOutput: true,
    *run(inputs) {
      yield Number(inputs.delay_ms);
      return { values: [], ui: { mark: [inputs.mark] } };
    },
  },
];

/** The same nodes on a machine that is so many times as fast. */
export const worldNodesAt = (speed: number): readonly NodeType[] =>
  worldNodes.map((type) => ({
    ...type,
    *run(inputs, node) {
      const run = type.run(inputs, node);
      if (!("next" in run)) return run;
      for (let turn = run.next(); ; turn = run.next()) {
        if (turn.done) return turn.value;
        yield typeof turn.value === "number" ? turn.value / speed : turn.value;
      }
    },
  }));

/** The nodes that have an output where all goes well. */
export const shownBy: Readonly<Record<Kind, readonly string[]>> = {
  quick: ["2"],
  steps: ["1", "2"],
  fails: [],
  long: ["1", "2"],
  blocked: ["2"],
  unheard: ["1", "2"],
  unstoppable: ["1", "2"],
  invalid: [],
};

export function workflowOf(kind: Kind, mark: number): string {
  const steps = (count: number, delay_ms: number, fail_at = -1) => ({
    class_type: "WorldSteps",
    inputs: { mark, steps: count, delay_ms, fail_at },
  });
  const show = { class_type: "WorldShow", inputs: { mark, source: ["1", 0] } };
  switch (kind) {
    case "quick":
      return JSON.stringify({ 1: { class_type: "PrimitiveInt", inputs: { value: mark } }, 2: show });
    case "steps":
      return JSON.stringify({ 1: steps(5, 150), 2: show });
    case "fails":
      return JSON.stringify({ 1: steps(4, 120, 2) });
    case "long":
      return JSON.stringify({ 1: steps(6, 2_000), 2: show });
    // Blocks its dependents without ending the run (ComfyUI execution.py, ExecutionBlocker).
    case "blocked":
      return JSON.stringify({
        1: { class_type: "PrimitiveInt", inputs: { value: mark } },
        2: show,
        3: { class_type: "ProtoBlock", inputs: { value: ["1", 0], message: `mark ${mark}` } },
        4: { class_type: "WorldShow", inputs: { mark, source: ["3", 0] } },
      });
    // Longer than the server leaves a socket in silence: only look-ups see it end.
    case "unheard":
      return JSON.stringify({ 1: steps(1, 9_000), 2: show });
    // Its last node never looks whether it shall stop, and nothing comes after it (ComfyUI execution.py).
    case "unstoppable":
      return JSON.stringify({
        1: steps(1, 50),
        2: { class_type: "WorldWait", inputs: { mark, source: ["1", 0], delay_ms: 4_000 } },
      });
    case "invalid":
      return JSON.stringify({ 1: { class_type: "WorldSteps", inputs: { mark } } });
  }
}
