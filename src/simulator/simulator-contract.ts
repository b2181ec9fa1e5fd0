import { describe } from "vitest";
import { filesContract } from "./contract/files.ts";
import { infoContract } from "./contract/info.ts";
import { jobsContract } from "./contract/jobs.ts";
import { queueContract } from "./contract/queue.ts";
import { refusalsContract } from "./contract/refusals.ts";
import { runsContract } from "./contract/runs.ts";
import { deadlineMs, type ServerOf, serverUnderTest } from "./contract/server-under-test.ts";
import { socketsContract } from "./contract/sockets.ts";

/**
 * What comfy-tabs relies on in a ComfyUI, as its version has it, asked over real HTTP and WebSockets. It holds
 * for real servers and for the simulator alike; only nodes that the server has are used.
 *
 * @param name how the tests are called
 */
export function simulatorContract(name: string, serverOf: ServerOf): void {
  describe(name, { timeout: 3 * deadlineMs }, () => {
    const server = serverUnderTest(serverOf);
    infoContract(server);
    socketsContract(server);
    runsContract(server);
    refusalsContract(server);
    queueContract(server);
    jobsContract(server);
    filesContract(server);
  });
}
