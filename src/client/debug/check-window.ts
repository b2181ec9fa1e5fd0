import type { Session, Task, Workflow } from "../api.ts";
import type { CheckOrder, WindowReport } from "./messages.ts";

const ending = /^(succeeded|failed|cancelled|lost)$/;

/** Runs on any ComfyUI without a model; its output tells whose it is. */
const workflowOf = (value: number): Workflow => ({
  "1": { class_type: "PrimitiveInt", inputs: { value, control_after_generate: false } },
  "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
});

/** Submits some tasks at once, and looks whether this window hears of them what it should, and of nothing else. */
export async function checkWindow(
  session: Session,
  { tasks: count, server }: CheckOrder,
): Promise<WindowReport> {
  const startedAt = performance.now();
  const fail = (error: unknown): void => {
    problems.push(error instanceof Error ? error.message : String(error));
  };
  const problems: string[] = [];
  const done: Task[] = [];
  const oneTask = async (value: number): Promise<void> => {
    try {
      const task = await session.submit(workflowOf(value), {
        label: "test-multi-window",
        ...(server === undefined ? {} : { server }),
      });
      done.push(task);
      problems.push(...(await problemsOf(task, value)));
    } catch (error) {
      fail(error);
    }
  };
  await Promise.all(Array.from({ length: count }, () => oneTask(randomValue())));
  const ms = Math.round(performance.now() - startedAt);
  const sees = promptsOf(session.tasks());
  await Promise.all(done.map((task) => task.dismiss().catch(fail)));
  const { windowId } = session;
  return { windowId, pass: problems.length === 0, problems, prompts: promptsOf(done), sees, ms };
}

async function problemsOf(task: Task, value: number): Promise<string[]> {
  const problems: string[] = [];
  let lastSeq = 0;
  let endings = 0;
  for await (const event of task) {
    if (event.taskId !== task.id) problems.push(`${task.id} was told of ${event.taskId}`);
    if (event.seq <= lastSeq) problems.push(`${task.id}: ${event.type} came out of order`);
    if (ending.test(event.type)) endings += 1;
    lastSeq = event.seq;
  }
  if (endings !== 1) problems.push(`${task.id} has ended ${endings} times`);
  const { outputs } = await task.result();
  if (!JSON.stringify(outputs).includes(String(value))) problems.push(`${task.id} has another task's result`);
  return problems;
}

const promptsOf = (tasks: readonly Task[]): string[] => tasks.flatMap(({ promptId }) => promptId ?? []);

/** Unlike any other, so that no server answers from its cache. */
const randomValue = (): number => crypto.getRandomValues(new Uint32Array(1))[0]!;
