import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { Connection } from "./connection.ts";
import { coreGraph, endlessGraph, type ServerUnderTest } from "./server-under-test.ts";

export function jobsContract(server: ServerUnderTest): void {
  const noJobs = "this version has no /api/jobs";
  const noCancel = "this version cannot cancel jobs, or this server has no node that takes its time";
  const cannotCancel = (): boolean => !server.abilities.cancelJob || !server.hasProtolab;
  const job = (id: string) => server.request("GET", `/api/jobs/${id}`);
  const cancel = (id: string) => server.request("POST", `/api/jobs/${id}/cancel`);

  async function running(): Promise<{ anna: Connection; id: string }> {
    const anna = await server.connect();
    const { prompt_id } = await server.submit(endlessGraph(), { client_id: anna.clientId });
    await anna.frame(({ kind }) => kind === "progress");
    return { anna, id: prompt_id };
  }

  describe("jobs", () => {
    test("are there since 0.6, to be cancelled since 0.26", async () => {
      expect((await server.request("GET", "/api/jobs?limit=1")).status).toBe(
        server.abilities.jobs ? 200 : 404,
      );
      const { status } = await cancel(randomUUID());
      if (server.abilities.cancelJob) expect([200, 404]).toContain(status);
      else expect([404, 405]).toContain(status);
    });

    test("that are done have all that the history has", async ({ skip }) => {
      skip(!server.abilities.jobs, noJobs);
      const anna = await server.connect();
      const fields = {
        client_id: anna.clientId,
        extra_data: { extra_pnginfo: { workflow: { id: "wf-1" } } },
      };
      const { prompt_id, number } = await server.submit(coreGraph(), fields);
      await anna.ended(prompt_id);
      const entry = await server.history(prompt_id);
      const { status, body } = await job(prompt_id);
      expect(status).toBe(200);
      expect(body).toMatchObject({
        id: prompt_id,
        status: "completed",
        priority: number,
        create_time: expect.any(Number),
        execution_start_time: expect.any(Number),
        execution_end_time: expect.any(Number),
        workflow_id: "wf-1",
        outputs: entry?.outputs,
        execution_status: entry?.status,
        workflow: { prompt: entry?.prompt[2], extra_data: entry?.prompt[3] },
      });
    });

    test("are listed, newest first, and counted", async ({ skip }) => {
      skip(!server.abilities.jobs, noJobs);
      const anna = await server.connect();
      const { prompt_id } = await server.submit(coreGraph(), { client_id: anna.clientId });
      await anna.ended(prompt_id);
      const { body } = await server.request("GET", "/api/jobs?status=completed&limit=1");
      expect(body).toMatchObject({
        jobs: [{ id: prompt_id, status: "completed" }],
        pagination: { offset: 0, limit: 1, total: expect.any(Number), has_more: expect.any(Boolean) },
      });
      expect(await server.request("GET", "/api/jobs?status=bogus")).toMatchObject({
        status: 400,
        body: { error: expect.stringContaining("bogus") },
      });
      expect(await job(randomUUID())).toMatchObject({ status: 404, body: { error: "Job not found" } });
    });

    test("run and wait as they do in the queue", async ({ skip }) => {
      skip(!server.abilities.jobs || !server.hasProtolab, noJobs);
      const { id } = await running();
      const waiting = await server.submit(coreGraph());
      expect((await job(id)).body).toMatchObject({ id, status: "in_progress" });
      expect((await job(waiting.prompt_id)).body).toMatchObject({ id: waiting.prompt_id, status: "pending" });
    });
  });

  describe("to cancel a job", () => {
    test("stops it where it runs, and it counts as cancelled", async ({ skip }) => {
      skip(cannotCancel(), noCancel);
      const { anna, id } = await running();
      expect(await cancel(id)).toMatchObject({ status: 200, body: { cancelled: true } });
      await anna.ended(id);
      expect(anna.frames.map(({ kind }) => kind)).toContain("execution_interrupted");
      expect((await job(id)).body).toMatchObject({ id, status: "cancelled" });
      expect((await cancel(id)).body).toEqual({ cancelled: false });
    });

    test("takes it out of the queue where it waits, and nothing is left of it", async ({ skip }) => {
      skip(cannotCancel(), noCancel);
      const { id } = await running();
      const waiting = await server.submit(coreGraph());
      expect((await cancel(waiting.prompt_id)).body).toEqual({ cancelled: true });
      expect(await server.queue()).toEqual({ running: [id], pending: [] });
      expect((await job(waiting.prompt_id)).status).toBe(404);
      expect(await server.history(waiting.prompt_id)).toBeUndefined();
    });

    test("is possible for many, if all ids are ids", async ({ skip }) => {
      skip(cannotCancel(), noCancel);
      const { anna, id } = await running();
      const waiting = await server.submit(coreGraph());
      const batch = (job_ids: unknown) => server.request("POST", "/api/jobs/cancel", { job_ids });
      expect((await batch(undefined)).status).toBe(400);
      expect(await batch([id, "no-uuid"])).toMatchObject({ status: 400, body: { invalid_ids: ["no-uuid"] } });
      expect((await server.queue()).running).toEqual([id]);
      expect((await batch([id, waiting.prompt_id])).body).toEqual({ cancelled: true });
      await anna.ended(id);
      expect(await server.queue()).toEqual({ running: [], pending: [] });
    });
  });
}
