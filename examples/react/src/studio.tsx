import type { Task } from "comfy-tabs";
import { useComfy, useServers, useTask } from "comfy-tabs/react";
import { serverUrl, workflow } from "./workflow.ts";

export function Studio() {
  const { session, tasks, error } = useComfy({ servers: [serverUrl] });
  const servers = useServers(session);
  if (error) return <p role="alert">{error.message}</p>;
  return (
    <>
      <button type="button" disabled={!session} onClick={() => session?.submit(workflow)}>
        Generate
      </button>
      <ul aria-label="Servers">
        {servers.map(({ id, connection, queueRemaining }) => (
          <li key={id}>
            {id}: {connection}, {queueRemaining} in its queue
          </li>
        ))}
      </ul>
      <ol aria-label="Tasks">
        {tasks.map((task) => (
          <TaskLine key={task.id} task={task} />
        ))}
      </ol>
    </>
  );
}

function TaskLine({ task }: { task: Task }) {
  const { status, progress, result, error } = useTask(task);
  const isOpen = ["submitting", "queued", "running"].includes(status);
  return (
    <li data-task={task.id}>
      <output>{status}</output> <progress value={progress?.overall ?? 0} />
      {result?.files.map(({ url, filename }) => (
        <img key={url} src={url} alt={filename} width="64" />
      ))}
      {error?.message}
      <button type="button" onClick={() => (isOpen ? task.cancel() : task.dismiss())}>
        {isOpen ? "Cancel" : "Dismiss"}
      </button>
    </li>
  );
}
