import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type Connection, words } from "./connection.ts";
import { coreGraph, endlessGraph, newValue, remaining, type ServerUnderTest } from "./server-under-test.ts";

const needsProtolab = "this server has no node that takes its time";

export function queueContract(server: ServerUnderTest): void {
  /** A prompt that runs, so that others have to wait. */
  async function occupied(): Promise<{ anna: Connection; running: string }> {
    const anna = await server.connect();
    const { prompt_id } = await server.submit(endlessGraph(), { client_id: anna.clientId });
    await anna.frame(({ kind, data }) => kind === "progress" && data.prompt_id === prompt_id);
    return { anna, running: prompt_id };
  }

  /** An interrupt would take effect at the next update: after two more, there was none. */
  async function goesOn(anna: Connection, promptId: string): Promise<void> {
    const isUpdate = ({ kind, data }: { kind: string; data: { prompt_id?: unknown } }): boolean =>
      kind === "progress" && data.prompt_id === promptId;
    const heard = anna.frames.filter(isUpdate).length;
    await anna.count(heard + 2, isUpdate);
    expect((await server.queue()).running).toEqual([promptId]);
  }

  describe("the queue", () => {
    test("runs the smallest number first, and what was put in front before what came earlier", async ({
      skip,
    }) => {
      skip(!server.hasProtolab, needsProtolab);
      const { anna, running } = await occupied();
      const submit = (fields: object) => server.submit(coreGraph(), { client_id: anna.clientId, ...fields });
      const plain = await submit({});
      const front = await submit({ front: true });
      const first = await submit({ number: -1e9 });
      const half = await submit({ number: plain.number + 0.5 });
      const last = await submit({ number: 1e9 });
      expect(front.number).toBe(-(plain.number + 1));
      expect([first.number, half.number, last.number]).toEqual([-1e9, plain.number + 0.5, 1e9]);
      const order = [first, front, plain, half, last].map(({ prompt_id }) => prompt_id);
      expect(await server.queue()).toEqual({ running: [running], pending: order });
      expect(await server.request("GET", "/prompt")).toMatchObject({
        body: { exec_info: { queue_remaining: 6 } },
      });

      await server.request("POST", "/interrupt", {});
      await anna.ended(last.prompt_id);
      const starts = anna.frames.filter(({ kind }) => kind === "execution_start");
      expect(starts.map(({ data }) => data.prompt_id)).toEqual([running, ...order]);
    });

    test("counts on, whatever numbers the clients chose", async () => {
      const before = await server.submit(coreGraph());
      await server.submit(coreGraph(), { number: 123456 });
      const { number } = await server.submit(coreGraph());
      expect(number).toBe(before.number + 1);
    });

    test("lets waiting prompts be deleted: the status tells everybody, and nothing else", async ({
      skip,
    }) => {
      skip(!server.hasProtolab, needsProtolab);
      const { anna, running } = await occupied();
      const ben = await server.connect();
      const [deleted, kept] = [
        await server.submit(coreGraph(), { client_id: anna.clientId }),
        await server.submit(coreGraph(), { client_id: anna.clientId }),
      ];
      await ben.count(3, ({ kind }) => kind === "status");
      for (const id of [running, randomUUID(), deleted.prompt_id])
        expect(await server.request("POST", "/queue", { delete: [id] })).toMatchObject({
          status: 200,
          body: "",
        });
      await ben.count(4, ({ kind }) => kind === "status");
      expect(ben.frames.map(({ data }) => remaining(data))).toEqual([1, 2, 3, 2]);
      expect(await server.queue()).toEqual({ running: [running], pending: [kept.prompt_id] });
      expect(await server.history(deleted.prompt_id)).toBeUndefined();
      await anna.heardAll();
      const about = anna.frames.filter(({ data }) => data.prompt_id === deleted.prompt_id);
      expect(about).toEqual([]);
    });

    test("is cleared of everybody's waiting prompts at once, not of the running one", async ({ skip }) => {
      skip(!server.hasProtolab, needsProtolab);
      const { anna, running } = await occupied();
      await server.submit(coreGraph(), { client_id: anna.clientId });
      await server.submit(coreGraph(), { client_id: randomUUID() });
      await server.request("POST", "/queue", { clear: true });
      expect(await server.queue()).toEqual({ running: [running], pending: [] });
      await goesOn(anna, running);
    });
  });

  describe("an interrupt", () => {
    test("without an id stops what runs, and the history keeps it as an error", async ({ skip }) => {
      skip(!server.hasProtolab, needsProtolab);
      const { anna, running } = await occupied();
      expect(await server.request("POST", "/interrupt")).toMatchObject({ status: 200, body: "" });
      await anna.ended(running);
      expect(words(anna.frames.slice(-3))).toEqual(["execution_interrupted", "status", "executing null"]);
      const data = anna.frames.at(-3)?.data;
      expect(data).toEqual({
        prompt_id: running,
        node_id: "1",
        node_type: "ProtoSteps",
        executed: [],
        timestamp: expect.any(Number),
      });
      const entry = await server.history(running);
      expect(entry?.status).toMatchObject({ status_str: "error", completed: false });
      expect(entry?.status.messages.at(-1)).toEqual(["execution_interrupted", data]);
      expect(entry?.outputs).toEqual({});
    });

    test("with the id of what runs stops it", async ({ skip }) => {
      skip(!server.hasProtolab, needsProtolab);
      const { anna, running } = await occupied();
      await server.request("POST", "/interrupt", { prompt_id: running });
      await anna.ended(running);
      expect(words(anna.frames.slice(-3))[0]).toBe("execution_interrupted");
    });

    test("with another id does nothing since 0.3.57, and before stops whatever runs", async ({ skip }) => {
      skip(!server.hasProtolab, needsProtolab);
      const { anna, running } = await occupied();
      const waiting = await server.submit(coreGraph(), { client_id: anna.clientId });
      await server.request("POST", "/interrupt", { prompt_id: waiting.prompt_id });
      if (server.abilities.targetedInterrupt) {
        await server.request("POST", "/interrupt", { prompt_id: randomUUID() });
        await goesOn(anna, running);
        return;
      }
      await anna.ended(running);
      expect(anna.frames.map(({ kind }) => kind)).toContain("execution_interrupted");
      await anna.ended(waiting.prompt_id);
    });

    test("is not heard by a node that does not look: after it, the next one does not run", async ({
      skip,
    }) => {
      skip(!server.hasProtolab, needsProtolab);
      const anna = await server.connect();
      const graph = {
        1: { class_type: "ProtoConst", inputs: { value: newValue() } },
        2: { class_type: "ProtoHang", inputs: { value: ["1", 0], ms: 300 } },
        3: { class_type: "ProtoOut", inputs: { value: ["2", 0] } },
      };
      const { prompt_id } = await server.submit(graph, { client_id: anna.clientId });
      await anna.frame(({ kind, data }) => kind === "executing" && data.node === "2");
      await server.request("POST", "/interrupt", { prompt_id });
      await anna.ended(prompt_id);
      const nodes = words(anna.frames).filter((word) => word !== "progress_state");
      expect(nodes.slice(-4)).toEqual(["executing 3", "execution_interrupted", "status", "executing null"]);
    });

    test("with nothing running is forgotten when the next prompt starts", async () => {
      const anna = await server.connect();
      await server.request("POST", "/interrupt", {});
      const { prompt_id } = await server.submit(coreGraph(), { client_id: anna.clientId });
      await anna.ended(prompt_id);
      expect(anna.frames.map(({ kind }) => kind)).toContain("execution_success");
    });
  });
}
