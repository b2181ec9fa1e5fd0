import { describe, expect, test } from "vitest";
import { type Connection, type Heard, words } from "./connection.ts";
import { coreGraph, newValue, remaining, type ServerUnderTest, stepsGraph } from "./server-under-test.ts";

export function runsContract(server: ServerUnderTest): void {
  const withoutStates = (frames: readonly Heard[]): Heard[] =>
    frames.filter(({ kind }) => kind !== "progress_state");

  /** What a socket hears after its first status. */
  const heardBy = ({ frames }: Connection): Heard[] => frames.slice(1);

  describe("a prompt that succeeds", () => {
    test("sends its frames in ComfyUI's order", async () => {
      const anna = await server.connect();
      const { prompt_id, node_errors } = await server.submit(coreGraph(), { client_id: anna.clientId });
      await anna.ended(prompt_id);
      expect(node_errors).toEqual({});
      const state = server.abilities.chosenPromptId ? ["progress_state"] : [];
      expect(words(heardBy(anna))).toEqual([
        ...["status", "status", "execution_start", "execution_cached"],
        ...[...state, "executing 1", ...state],
        ...[...state, "executing 2", "executed 2", ...state],
        ...["execution_success", "status", "executing null"],
      ]);
      const statuses = heardBy(anna).filter(({ kind }) => kind === "status");
      expect(statuses.map(({ data }) => remaining(data))).toEqual([1, 1, 0]);
    });

    test("names itself in every frame but the status, and shows its output", async () => {
      const anna = await server.connect();
      const value = newValue();
      const { prompt_id } = await server.submit(coreGraph(value), { client_id: anna.clientId });
      await anna.ended(prompt_id);
      for (const { kind, data } of heardBy(anna))
        if (kind !== "status") expect(data.prompt_id, kind).toBe(prompt_id);
      const frame = (kind: string): unknown => anna.frames.find((other) => other.kind === kind)?.data;
      expect(frame("execution_start")).toEqual({ prompt_id, timestamp: expect.any(Number) });
      expect(frame("execution_cached")).toEqual({ prompt_id, nodes: [], timestamp: expect.any(Number) });
      expect(frame("execution_success")).toEqual({ prompt_id, timestamp: expect.any(Number) });
      expect(frame("executing")).toEqual({ prompt_id, node: "1", display_node: "1" });
      expect(frame("executed")).toEqual({
        prompt_id,
        node: "2",
        display_node: "2",
        output: { text: [String(value)] },
      });
    });

    test("tells the state of all nodes that have started, since 0.3.45", async ({ skip }) => {
      skip(!server.abilities.chosenPromptId, "this version has no progress_state");
      const anna = await server.connect();
      const { prompt_id } = await server.submit(coreGraph(), { client_id: anna.clientId });
      await anna.ended(prompt_id);
      const states = anna.frames.filter(({ kind }) => kind === "progress_state").map(({ data }) => data);
      const node = (node_id: string, state: string): object => ({
        node_id,
        state,
        prompt_id,
        display_node_id: node_id,
        parent_node_id: null,
        real_node_id: node_id,
        value: state === "finished" ? 1 : 0,
        max: 1,
      });
      expect(states).toMatchObject([
        { prompt_id, nodes: { 1: node("1", "running") } },
        { prompt_id, nodes: { 1: node("1", "finished") } },
        { prompt_id, nodes: { 1: node("1", "finished"), 2: node("2", "running") } },
        { prompt_id, nodes: { 1: node("1", "finished"), 2: node("2", "finished") } },
      ]);
    });

    test("is in the history when its last frame is heard", async () => {
      const anna = await server.connect();
      const graph = coreGraph();
      const fields = { client_id: anna.clientId, extra_data: { my_tab: "tab-7" } };
      const { prompt_id, number } = await server.submit(graph, fields);
      await anna.ended(prompt_id);
      const entry = await server.history(prompt_id);
      expect(entry?.prompt.slice(0, 2)).toEqual([number, prompt_id]);
      expect(entry?.prompt[2]).toMatchObject(graph);
      const created = server.abilities.createTime ? { create_time: expect.any(Number) } : {};
      expect(entry?.prompt[3]).toEqual({ client_id: anna.clientId, my_tab: "tab-7", ...created });
      expect(entry?.prompt[4]).toEqual(["2"]);
      expect(entry?.outputs).toEqual({ 2: { text: [expect.any(String)] } });
      expect(entry?.meta).toEqual({
        2: { node_id: "2", display_node: "2", parent_node: null, real_node_id: "2" },
      });
      expect(entry?.status).toMatchObject({ status_str: "success", completed: true });
      const messages = anna.frames.filter(({ kind }) => kind.startsWith("execution_"));
      expect(entry?.status.messages).toEqual(messages.map(({ kind, data }) => [kind, data]));
      expect(await server.request("GET", "/prompt")).toMatchObject({
        body: { exec_info: { queue_remaining: 0 } },
      });
    });

    test("leaves the history when it is deleted there, without a word", async () => {
      const anna = await server.connect();
      const { prompt_id } = await server.submit(coreGraph(), { client_id: anna.clientId });
      await anna.ended(prompt_id);
      const before = anna.frames.length;
      expect(await server.request("POST", "/history", { delete: [prompt_id] })).toMatchObject({
        status: 200,
      });
      expect(await server.history(prompt_id)).toBeUndefined();
      await anna.heardAll();
      expect(anna.frames).toHaveLength(before);
    });

    test("is the newest of the history", async () => {
      const anna = await server.connect();
      const { prompt_id } = await server.submit(coreGraph(), { client_id: anna.clientId });
      await anna.ended(prompt_id);
      const { body } = await server.request("GET", "/history?max_items=1");
      expect(Object.keys(body as object)).toEqual([prompt_id]);
    });
  });

  test("a prompt that ran before is cached, and shows its output again", async () => {
    const anna = await server.connect();
    const value = newValue();
    const first = await server.submit(coreGraph(value), { client_id: anna.clientId });
    await anna.ended(first.prompt_id);
    const from = anna.frames.length;
    const second = await server.submit(coreGraph(value), { client_id: anna.clientId });
    await anna.ended(second.prompt_id);
    const again = withoutStates(anna.frames.slice(from));
    expect(words(again)).toEqual([
      ...["status", "status", "execution_start", "execution_cached"],
      ...["executed 2", "execution_success", "status", "executing null"],
    ]);
    const cached = again.find(({ kind }) => kind === "execution_cached")?.data.nodes as string[];
    expect(cached.toSorted()).toEqual(["1", "2"]);
    expect(again.find(({ kind }) => kind === "executed")?.data.output).toEqual({ text: [String(value)] });
    expect((await server.history(second.prompt_id))?.outputs).toEqual({ 2: { text: [String(value)] } });
  });

  describe("previews", () => {
    const needsProtolab = "this server has no nodes that show previews";
    const image = (frame: Heard | undefined): Buffer => frame?.data.image as Buffer;

    async function run(anna: Connection, preview: string): Promise<{ frames: Heard[]; prompt_id: string }> {
      const graph = stepsGraph({ steps: 2, preview, preview_size: 48 });
      const { prompt_id } = await server.submit(graph, { client_id: anna.clientId });
      await anna.ended(prompt_id);
      return { frames: withoutStates(heardBy(anna)), prompt_id };
    }

    test("come as type 1 after their progress to a client that said nothing", async ({ skip }) => {
      skip(!server.hasProtolab, needsProtolab);
      const { frames, prompt_id } = await run(await server.connect(), "jpeg");
      const steps = frames.slice(5, 9);
      expect(words(steps)).toEqual(["progress", "bin:1", "progress", "bin:1"]);
      expect(steps[0]?.data).toEqual({ prompt_id, node: "1", value: 1, max: 2 });
      expect(steps[1]?.data.format).toBe(1);
      expect(image(steps[1]).subarray(0, 3).toString("hex")).toBe("ffd8ff");
      expect(image(steps[1]).subarray(-2).toString("hex")).toBe("ffd9");
    });

    test("say when they are PNGs", async ({ skip }) => {
      skip(!server.hasProtolab, needsProtolab);
      const { frames } = await run(await server.connect(), "png");
      const first = frames.find(({ kind }) => kind === "bin:1");
      expect(first?.data.format).toBe(2);
      expect(image(first).subarray(0, 8).toString("hex")).toBe("89504e470d0a1a0a");
      expect([image(first).readUInt32BE(16), image(first).readUInt32BE(20)]).toEqual([48, 48]);
    });

    test("come as type 4 before their progress to a client that asked, since 0.3.45", async ({ skip }) => {
      skip(!server.hasProtolab, needsProtolab);
      const anna = await server.connect();
      anna.sayFlags();
      await anna.heardAll();
      const { frames, prompt_id } = await run(anna, "jpeg");
      const isNew = server.abilities.metadataPreviews;
      const steps = frames.filter(({ kind }) => kind === "progress" || kind.startsWith("bin:"));
      const pair = isNew ? ["bin:4", "progress"] : ["progress", "bin:1"];
      expect(words(steps)).toEqual([...pair, ...pair]);
      const preview = steps[isNew ? 0 : 1];
      expect(image(preview).subarray(0, 3).toString("hex")).toBe("ffd8ff");
      if (isNew)
        expect(preview?.data.metadata).toEqual({
          prompt_id,
          node_id: "1",
          display_node_id: "1",
          parent_node_id: null,
          real_node_id: "1",
          image_type: "image/jpeg",
        });
    });
  });

  describe("a prompt whose node fails", () => {
    const failing = {
      1: { class_type: "ProtoConst", inputs: { value: newValue() } },
      2: {
        class_type: "ProtoError",
        inputs: { value: ["1", 0], message: "boom", delay_ms: 0, kind: "runtime" },
      },
      3: { class_type: "ProtoOut", inputs: { value: ["2", 0] } },
    };

    test("says so, ends, and has no success", async ({ skip }) => {
      skip(!server.hasProtolab, "this server has no node that fails");
      const anna = await server.connect();
      const { prompt_id } = await server.submit(failing, { client_id: anna.clientId });
      await anna.ended(prompt_id);
      expect(words(anna.frames.slice(-3))).toEqual(["execution_error", "status", "executing null"]);
      expect(anna.frames.map(({ kind }) => kind)).not.toContain("execution_success");
      const error = anna.frames.find(({ kind }) => kind === "execution_error")?.data;
      expect(error).toMatchObject({
        prompt_id,
        node_id: "2",
        node_type: "ProtoError",
        executed: ["1"],
        exception_type: "RuntimeError",
        exception_message: expect.stringMatching(/^boom\s*$/),
        traceback: expect.arrayContaining([expect.any(String)]),
        current_inputs: { message: ["boom"] },
        current_outputs: expect.any(Array),
        timestamp: expect.any(Number),
      });
      const entry = await server.history(prompt_id);
      expect(entry?.status).toMatchObject({ status_str: "error", completed: false });
      expect(entry?.status.messages.at(-1)).toEqual(["execution_error", error]);
    });
  });

  test("a blocked node sends an error that is no ending, and no history has it", async ({ skip }) => {
    skip(!server.hasProtolab, "this server has no node that blocks");
    const anna = await server.connect();
    const graph = {
      1: { class_type: "ProtoConst", inputs: { value: newValue() } },
      2: { class_type: "ProtoBlock", inputs: { value: ["1", 0], message: "on purpose" } },
      3: { class_type: "ProtoOut", inputs: { value: ["2", 0] } },
      4: { class_type: "ProtoOut", inputs: { value: ["1", 0], tag: "free" } },
    };
    const { prompt_id } = await server.submit(graph, { client_id: anna.clientId });
    await anna.ended(prompt_id);
    const error = anna.frames.find(({ kind }) => kind === "execution_error")?.data;
    expect(error).toMatchObject({
      prompt_id,
      node_id: "3",
      exception_type: "ExecutionBlocked",
      exception_message: expect.stringContaining("on purpose"),
      traceback: [],
      current_inputs: [],
      current_outputs: [],
    });
    expect(error).not.toHaveProperty("timestamp");
    expect(anna.frames.map(({ kind }) => kind)).toContain("execution_success");
    const entry = await server.history(prompt_id);
    expect(entry?.status).toMatchObject({ status_str: "success", completed: true });
    expect(entry?.status.messages.map(([type]) => type)).not.toContain("execution_error");
    expect(Object.keys(entry?.outputs ?? {})).toEqual(["4"]);
  });

  test("only the outputs asked for run, since 0.3.48", async () => {
    const anna = await server.connect();
    const graph = {
      ...coreGraph(),
      // Another value: ComfyUI takes nodes with the same inputs for one.
      3: { class_type: "PrimitiveInt", inputs: { value: newValue() } },
      4: { class_type: "PreviewAny", inputs: { source: ["3", 0] } },
    };
    const fields = { client_id: anna.clientId, partial_execution_targets: ["4"] };
    const { prompt_id } = await server.submit(graph, fields);
    await anna.ended(prompt_id);
    const outputs = Object.keys((await server.history(prompt_id))?.outputs ?? {});
    expect(outputs.toSorted()).toEqual(server.abilities.partialExecution ? ["4"] : ["2", "4"]);
  });
}
