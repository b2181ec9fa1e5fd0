import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type Connection, words } from "./connection.ts";
import { coreGraph, endlessGraph, newValue, type ServerUnderTest, stepsGraph } from "./server-under-test.ts";

export function socketsContract(server: ServerUnderTest): void {
  const needsProtolab = "this server has no node that takes its time or sends what it likes";
  const kinds = ({ frames }: Connection): string[] => frames.map(({ kind }) => kind);

  describe("a socket", () => {
    test("hears the state of the queue first, with the id it is known by", async () => {
      const clientId = randomUUID();
      const { frames } = await server.connect(clientId);
      expect(frames[0]?.data).toEqual({
        status: { exec_info: { queue_remaining: expect.any(Number) } },
        sid: clientId,
      });
    });

    test("gets an id of the server's if it has none", async () => {
      const { frames } = await server.connect("");
      expect(frames[0]?.data.sid).toMatch(/^[\da-f]{32}$/);
    });

    test("that says its flags is told the server's, since 0.3.45", async () => {
      const anna = await server.connect();
      anna.sayFlags();
      await anna.heardAll();
      const wanted = server.abilities.metadataPreviews ? ["status", "feature_flags"] : ["status"];
      expect(kinds(anna)).toEqual(wanted);
      if (!server.abilities.metadataPreviews) return;
      const features = await server.request("GET", "/features");
      expect(anna.frames[1]?.data).toEqual(features.body);
    });

    test("must say its flags first; what is no object does not count", async () => {
      const [late, noisy] = [await server.connect(), await server.connect()];
      late.send('{"type":"hello"}');
      late.sayFlags();
      noisy.send("this is not json");
      noisy.send("[1,2]");
      noisy.sayFlags();
      await Promise.all([late.heardAll(), noisy.heardAll()]);
      expect(kinds(late)).toEqual(["status"]);
      expect(kinds(noisy).includes("feature_flags")).toBe(server.abilities.metadataPreviews);
    });

    test("is closed for a frame of more than 4 MiB, and not for less", async () => {
      const anna = await server.connect();
      anna.send(JSON.stringify({ type: "big", data: "x".repeat(3.9 * 1024 * 1024) }));
      await anna.heardAll();
      anna.send(JSON.stringify({ type: "big", data: "x".repeat(4.1 * 1024 * 1024) }));
      expect(await anna.closed).toBe(1009);
    });
  });

  test("a prompt's frames are for its client only, the status is for all", async () => {
    const [anna, ben] = [await server.connect(), await server.connect()];
    const { prompt_id } = await server.submit(coreGraph(), { client_id: anna.clientId });
    await anna.ended(prompt_id);
    await ben.heardAll();
    expect(kinds(ben)).toEqual(["status", "status", "status", "status"]);
  });

  describe("two sockets with one client id", () => {
    test("the newer hears everything, the older nothing, not even what is for all", async () => {
      const older = await server.connect();
      const newer = await server.connect(older.clientId);
      const { prompt_id } = await server.submit(coreGraph(), { client_id: older.clientId });
      await newer.ended(prompt_id);
      await older.heardAll();
      expect(kinds(older)).toEqual(["status"]);
    });

    test("the older one's end deafens the newer one; a third hears, until the deaf one ends", async () => {
      const observer = await server.connect();
      const first = await server.connect();
      const second = await server.connect(first.clientId);
      await first.close();

      const missed = await server.submit(coreGraph(), { client_id: first.clientId });
      await observer.count(4, ({ kind }) => kind === "status");
      await second.heardAll();
      expect(kinds(second)).toEqual(["status"]);
      expect((await server.history(missed.prompt_id))?.status.status_str).toBe("success");

      const third = await server.connect(first.clientId);
      const heard = await server.submit(coreGraph(), { client_id: first.clientId });
      await third.ended(heard.prompt_id);
      const before = third.frames.length;

      await second.close();
      await server.submit(coreGraph(), { client_id: first.clientId });
      await observer.count(10, ({ kind }) => kind === "status");
      await third.heardAll();
      expect(third.frames).toHaveLength(before);
    });

    test("one that opens when the other is closed hears everything", async () => {
      const first = await server.connect();
      await first.close();
      const second = await server.connect(first.clientId);
      const { prompt_id } = await server.submit(coreGraph(), { client_id: first.clientId });
      await second.ended(prompt_id);
      expect(kinds(second)).toContain("execution_success");
    });
  });

  test("a socket that joins during its client's run hears which node runs, not of which prompt", async ({
    skip,
  }) => {
    skip(!server.hasProtolab, needsProtolab);
    const first = await server.connect();
    const { prompt_id } = await server.submit(endlessGraph(), { client_id: first.clientId });
    await first.frame(({ kind }) => kind === "progress");
    await first.close();
    const [again, other] = [await server.connect(first.clientId), await server.connect()];
    await again.frame(({ kind }) => kind === "progress");
    expect(again.frames[1]).toMatchObject({ kind: "executing", data: { node: "1" } });
    expect(again.frames[1]?.data).not.toHaveProperty("prompt_id");
    await server.request("POST", "/interrupt", {});
    await again.ended(prompt_id);
    await other.heardAll();
    expect(kinds(other)).not.toContain("executing");
  });

  describe("a prompt of nobody", () => {
    test("sends its progress to all, in the old format, and who runs it to none", async ({ skip }) => {
      skip(!server.hasProtolab, needsProtolab);
      const [anna, ben] = [await server.connect(), await server.connect()];
      anna.sayFlags();
      await anna.heardAll();
      const flagged = anna.frames.length;
      const { prompt_id } = await server.submit(stepsGraph({ steps: 1, preview: "jpeg" }));
      const state = server.abilities.chosenPromptId ? ["progress_state"] : [];
      const wanted = [
        ...["status", "status", ...state],
        ...[...state, "progress", "bin:1", ...state],
        ...[...state, ...state, "status"],
      ];
      for (const [socket, from] of [
        [anna, flagged],
        [ben, 1],
      ] as const) {
        await socket.count(4, ({ kind }) => kind === "status");
        expect(words(socket.frames.slice(from))).toEqual(wanted);
      }
      expect((await server.history(prompt_id))?.status.status_str).toBe("success");
    });

    test("tells all when it was interrupted", async ({ skip }) => {
      skip(!server.hasProtolab, needsProtolab);
      const anna = await server.connect();
      const { prompt_id } = await server.submit(endlessGraph());
      await anna.frame(({ kind }) => kind === "progress");
      await server.request("POST", "/interrupt", {});
      const { data } = await anna.frame(({ kind }) => kind === "execution_interrupted");
      expect(data).toMatchObject({ prompt_id, node_id: "1" });
    });
  });

  test("texts and events of nodes go to all or to the client, as the node likes", async ({ skip }) => {
    skip(!server.hasProtolab, needsProtolab);
    const [anna, ben] = [await server.connect(), await server.connect()];
    const graph = {
      1: { class_type: "ProtoConst", inputs: { value: newValue() } },
      2: { class_type: "ProtoText", inputs: { value: ["1", 0], text: "grüße", to: "broadcast" } },
      3: { class_type: "ProtoText", inputs: { value: ["2", 0], text: "anna's", to: "client" } },
      4: { class_type: "ProtoEvent", inputs: { value: ["3", 0], type: "proto.custom", to: "broadcast" } },
      5: { class_type: "ProtoEvent", inputs: { value: ["4", 0], type: "proto.private", to: "client" } },
      6: { class_type: "ProtoOut", inputs: { value: ["5", 0] } },
    };
    const { prompt_id } = await server.submit(graph, { client_id: anna.clientId });
    await anna.ended(prompt_id);
    await ben.heardAll();
    const special = (socket: Connection): unknown[] =>
      socket.frames
        .filter(({ kind }) => kind === "bin:3" || kind.startsWith("proto."))
        .map(({ kind, data }) => [kind, data]);
    const forAll = [
      ["bin:3", { node: "2", text: "grüße" }],
      ["proto.custom", { node: "4", hello: 1 }],
    ];
    expect(special(ben)).toEqual(forAll);
    expect(special(anna)).toEqual([
      forAll[0],
      ["bin:3", { node: "3", text: "anna's" }],
      forAll[1],
      ["proto.private", { node: "5", hello: 1 }],
    ]);
  });

  test("whoever subscribes to the server's log hears its lines", async () => {
    const anna = await server.connect();
    const subscription = { clientId: anna.clientId, enabled: true };
    expect((await server.request("PATCH", "/internal/logs/subscribe", subscription)).status).toBe(200);
    await server.submit(coreGraph());
    const { data } = await anna.frame(({ kind }) => kind === "logs");
    expect(data.entries).toEqual(expect.arrayContaining([{ t: expect.any(String), m: expect.any(String) }]));
  });
}
