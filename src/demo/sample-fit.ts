import type { ObjectInfo, Workflow } from "../client/index.ts";

/** Which of its nodes a server lacks, each class once. An editor's workflow is not looked at: it is not sent. */
export function missingClasses(workflow: Workflow, known: ObjectInfo): string[] {
  const classes = Object.values(workflow).flatMap((node) =>
    typeof node?.class_type === "string" ? [node.class_type] : [],
  );
  return [...new Set(classes)].filter((name) => !Object.hasOwn(known, name));
}

/**
 * The workflow with a checkpoint that the server has in place of one that it lacks. Undefined when it has
 * none at all.
 */
export function withKnownCheckpoint(workflow: Workflow, known: ObjectInfo): Workflow | undefined {
  const names = checkpoints(known);
  const fitted = structuredClone(workflow) as {
    [id: string]: { class_type: string; inputs: { [name: string]: unknown } };
  };
  for (const node of Object.values(fitted)) {
    if (node.class_type !== "CheckpointLoaderSimple") continue;
    if (names.length === 0) return undefined;
    if (!names.includes(node.inputs.ckpt_name as string)) node.inputs.ckpt_name = names[0];
  }
  return fitted as Workflow;
}

/** ComfyUI lists a choice's values as the first part of the input, newer versions under `options`. */
function checkpoints(known: ObjectInfo): string[] {
  const loader = known.CheckpointLoaderSimple as
    | { input?: { required?: { ckpt_name?: [unknown, { options?: unknown }?] } } }
    | undefined;
  const [first, second] = loader?.input?.required?.ckpt_name ?? [];
  const names = Array.isArray(first) ? first : second?.options;
  return Array.isArray(names) ? names.filter((name) => typeof name === "string") : [];
}
