import { ComfyTabsError, connect, type Diagnostics, type Session } from "../client/index.ts";
import { Announcer } from "./announcer.ts";
import { Composer } from "./composer.ts";
import { element } from "./element.ts";
import { type Failure, failureOf } from "./failure.ts";
import { failureNote } from "./failure-note.ts";
import { acceptDroppedFiles } from "./file-drop.ts";
import { HostFacts } from "./host-facts.ts";
import { Masthead } from "./masthead.ts";
import { chooseServers } from "./server-choice.ts";
import { ServerList } from "./server-list.ts";
import { TaskList } from "./task-list.ts";
import { Topology } from "./topology.ts";

/** How often the picture is compared with the host while somebody looks: other tabs come and go unannounced. */
const lookEveryMs = 1000;

const page = document.querySelector<HTMLElement>("#app") ?? document.body;

try {
  const query = new URLSearchParams(location.search);
  const { servers, simulated } = await chooseServers(query);
  const name = query.get("name") || undefined;
  const session = await connect({ servers, ...(name && { name }) });
  show(session, { host: await session.diagnostics(), simulated, name });
} catch (error) {
  page.append(
    element("main", { class: "stopped" }, element("h1", {}, "comfy-tabs"), failureNote(inWords(error))),
  );
}

interface Circumstances {
  readonly host: Diagnostics;
  readonly simulated: boolean;
  readonly name: string | undefined;
}

function show(session: Session, { host, simulated, name }: Circumstances): void {
  let looking = false;
  const announcer = new Announcer();
  const masthead = new Masthead(session, name);
  const topology = new Topology();
  const hostFacts = new HostFacts();
  const serverList = new ServerList(session, announcer, simulated);
  const taskList = new TaskList(announcer, showCounts);
  const composer = new Composer(session, (task) => {
    taskList.add(task).scrollIntoView({ block: "nearest" });
    announcer.say(`${task.label ?? "Workflow"} submitted`);
  });

  page.append(
    masthead.view,
    topology.view,
    element("main", { class: "columns" }, composer.view, taskList.view, serverList.view),
    hostFacts.view,
    announcer.view,
  );
  taskList.show(session.tasks());
  acceptDroppedFiles(document.body, (files) => void composer.submitFiles(files));

  // Also what another page of this tab has submitted or dismissed, or a host that had been given up.
  session.on("tasks", (tasks) => taskList.show(tasks));
  session.on("queue", showServers);
  session.on("lock", showServers);
  session.on("connection", () => {
    showServers();
    void composer.learnNodes();
  });
  session.on("mode", ({ mode, reason }) => masthead.show(mode, reason));
  masthead.show(host.mode);
  showHost(host);
  showServers();
  showCounts();
  void composer.learnNodes();
  setInterval(() => void look(), lookEveryMs);
  document.addEventListener("visibilitychange", () => void look());

  function showServers(): void {
    serverList.show(session.servers());
    void look();
  }

  function showCounts(): void {
    const open = taskList.openCount;
    document.title = open > 0 ? `(${open}) comfy-tabs` : "comfy-tabs";
    void look();
  }

  function showHost(host: Diagnostics): void {
    topology.show(host, { tasks: taskList.count, busyServerIds: taskList.busyServerIds });
    hostFacts.show(host);
  }

  async function look(): Promise<void> {
    if (document.hidden || looking) return;
    looking = true;
    try {
      showHost(await session.diagnostics());
    } catch (error) {
      hostFacts.showSilence(inWords(error).sentence);
    } finally {
      looking = false;
    }
  }
}

function inWords(error: unknown): Failure {
  if (error instanceof ComfyTabsError) return failureOf(error);
  return { title: "The page could not start", sentence: String(error), particulars: [], trace: undefined };
}
