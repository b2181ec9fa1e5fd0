/**
 * Short work of the model-free nodes. The page puts the task's label for "TAG" and a number for "SEED": whose a
 * result is stands in it, and none comes from the cache.
 */
const steps = (count: number, delayMs: number, preview: "none" | "jpeg") => ({
  class_type: "ProtoSteps",
  inputs: { steps: count, delay_ms: delayMs, preview, preview_size: 32, seed: "SEED", label: "TAG" },
});
const out = (node: string, slot: number) => ({
  class_type: "ProtoOut",
  inputs: { value: [node, slot], tag: "TAG" },
});

export const drawing = (count: number, delayMs: number, preview: "none" | "jpeg" = "jpeg"): object => ({
  "1": steps(count, delayMs, preview),
  "2": out("1", 1),
});

export const failing: object = {
  "1": steps(2, 10, "none"),
  "3": {
    class_type: "ProtoError",
    inputs: { value: ["1", 1], message: "boom", delay_ms: 5, kind: "runtime" },
  },
  "2": out("3", 0),
};

export const shortWork: readonly object[] = [
  drawing(3, 20),
  drawing(10, 40),
  failing,
  drawing(1, 5, "none"),
  drawing(30, 40),
];

/** The label in a workflow as it was posted, or undefined where it is nobody's of ours. */
export function labelIn(body: string): { promptId: string; label: string } | undefined {
  const posted = JSON.parse(body) as {
    prompt_id?: string;
    prompt?: Record<string, { class_type?: string; inputs?: { tag?: string } }>;
  };
  const label = Object.values(posted.prompt ?? {}).find((node) => node.class_type === "ProtoOut")?.inputs
    ?.tag;
  return posted.prompt_id !== undefined && label?.includes("#")
    ? { promptId: posted.prompt_id, label }
    : undefined;
}
