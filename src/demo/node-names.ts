import type { Workflow } from "../client/index.ts";

const key = (taskId: string) => `comfy-tabs-demo/nodes/${taskId}`;

/** Remembers, beyond a reload, what a task's nodes are called: its events name them by id alone. */
export function rememberNodeNames(taskId: string, workflow: Workflow): void {
  const names = Object.entries(workflow).map(([nodeId, node]) => [nodeId, String(node.class_type)]);
  tried(() => sessionStorage.setItem(key(taskId), JSON.stringify(Object.fromEntries(names))));
}

/** A function from node id to what people call that node. */
export function nodeNames(taskId: string): (nodeId: string) => string {
  let names: Map<string, string> | undefined;
  return (nodeId) => {
    // A task may be shown before its names are written down.
    const stored = names ? undefined : tried(() => sessionStorage.getItem(key(taskId)));
    if (stored) names = new Map(Object.entries(JSON.parse(stored) as object));
    return names?.get(nodeId) ?? `node ${nodeId}`;
  };
}

export function forgetNodeNames(taskId: string): void {
  tried(() => sessionStorage.removeItem(key(taskId)));
}

/** The storage may be kept back, or full: then nodes go by their ids. */
function tried<T>(use: () => T): T | undefined {
  try {
    return use();
  } catch {
    return undefined;
  }
}
