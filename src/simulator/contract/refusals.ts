import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { words } from "./connection.ts";
import { coreGraph, newValue, type ServerUnderTest } from "./server-under-test.ts";

export function refusalsContract(server: ServerUnderTest): void {
  const post = (body: object) => server.request("POST", "/prompt", body);
  const int = (value: unknown): object => ({ class_type: "PrimitiveInt", inputs: { value } });
  const preview = (source: unknown): object => ({ class_type: "PreviewAny", inputs: { source } });

  describe("a prompt is refused", () => {
    test.each([
      ["without a graph", {}, "no_prompt"],
      ["with an empty graph", { prompt: {} }, "prompt_no_outputs"],
      ["with nothing to show", { prompt: { 1: int(1) } }, "prompt_no_outputs"],
    ])("%s", async (_, body, type) => {
      expect(await post(body)).toMatchObject({
        status: 400,
        body: { error: { type, message: expect.any(String), extra_info: {} }, node_errors: {} },
      });
    });

    test("for a class of nodes that it does not have, in the words of its version", async () => {
      const node = { class_type: "NoSuchNodeAnywhere", inputs: {}, _meta: { title: "My node" } };
      const { status, body } = await post({ prompt: { 1: node } });
      expect(status).toBe(400);
      expect(body).toMatchObject({
        error: server.abilities.missingNodeType
          ? {
              type: "missing_node_type",
              extra_info: { node_id: "1", class_type: "NoSuchNodeAnywhere", node_title: "My node" },
            }
          : { type: "invalid_prompt", extra_info: {} },
      });
    });

    // Which node errs, with what, and which error the output has of its own.
    test.each<[string, object, nodeId: string, type: string, info: object]>([
      [
        "an input is missing",
        { 2: preview(undefined) },
        "2",
        "required_input_missing",
        { input_name: "source" },
      ],
      [
        "a value cannot be converted",
        { 1: int("abc"), 2: preview(["1", 0]) },
        "1",
        "invalid_input_type",
        { input_name: "value", received_value: "abc", exception_message: expect.any(String) },
      ],
      [
        "a link has another type",
        {
          0: { class_type: "PrimitiveFloat", inputs: { value: 1.5 } },
          1: int(["0", 0]),
          2: preview(["1", 0]),
        },
        "1",
        "return_type_mismatch",
        { input_name: "value", received_type: "FLOAT", linked_node: ["0", 0] },
      ],
      [
        "a link is none",
        { 1: int(1), 2: preview(["1", 0, 0]) },
        "2",
        "bad_linked_input",
        { input_name: "source", received_value: ["1", 0, 0] },
      ],
      [
        "a link leads nowhere",
        { 2: preview(["99", 0]) },
        "2",
        "exception_during_validation",
        { exception_type: "KeyError", traceback: expect.any(Array) },
      ],
    ])("where %s", async (_, prompt, nodeId, type, info) => {
      const { status, body } = await post({ prompt });
      expect(status).toBe(400);
      expect(body).toMatchObject({
        error: { type: "prompt_outputs_failed_validation", extra_info: {} },
        node_errors: {
          [nodeId]: {
            errors: [{ type, message: expect.any(String), details: expect.any(String), extra_info: info }],
            dependent_outputs: ["2"],
            class_type: expect.any(String),
          },
        },
      });
    });

    test("without a word on any socket", async () => {
      const anna = await server.connect();
      for (const body of [{}, { prompt: {} }, { prompt: { 2: preview(["99", 0]) } }])
        await post({ ...body, client_id: anna.clientId });
      await anna.heardAll();
      expect(words(anna.frames)).toEqual(["status"]);
    });
  });

  test("a prompt with one good output runs that, and tells of the other in its answer", async () => {
    const anna = await server.connect();
    const prompt = { ...coreGraph(), 9: preview(undefined) };
    const { prompt_id, node_errors } = await server.submit(prompt, { client_id: anna.clientId });
    expect(node_errors).toMatchObject({ 9: { errors: [{ type: "required_input_missing" }] } });
    await anna.ended(prompt_id);
    const entry = await server.history(prompt_id);
    expect(entry?.prompt[4]).toEqual(["2"]);
    expect(Object.keys(entry?.outputs ?? {})).toEqual(["2"]);
  });

  describe("the id that a client chooses for its prompt", () => {
    test("is taken since 0.3.45, and ignored without a word before", async () => {
      const wanted = randomUUID();
      const { prompt_id } = await server.submit(coreGraph(), { prompt_id: wanted });
      if (server.abilities.chosenPromptId) expect(prompt_id).toBe(wanted);
      else expect(prompt_id).not.toBe(wanted);
    });

    test("must be a canonical UUID since 0.25", async () => {
      for (const wanted of ["my-job-1", randomUUID().toUpperCase(), randomUUID().replaceAll("-", "")]) {
        const { status, body } = await post({ prompt: coreGraph(), prompt_id: wanted });
        if (server.abilities.uuidOnly)
          expect({ status, body }).toMatchObject({
            status: 400,
            body: { error: { type: "invalid_prompt_id", extra_info: {} }, node_errors: {} },
          });
        else {
          expect(status).toBe(200);
          expect((body as { prompt_id: string }).prompt_id === wanted).toBe(server.abilities.chosenPromptId);
        }
      }
    });

    test("is the server's own where the client sends none", async () => {
      const { prompt_id } = await server.submit(coreGraph());
      expect(prompt_id).toMatch(/^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/);
    });

    test("can be used twice: both run, and the history has the second", async ({ skip }) => {
      skip(!server.abilities.chosenPromptId, "this version chooses the ids itself");
      const anna = await server.connect();
      const fields = { client_id: anna.clientId, prompt_id: randomUUID() };
      await server.submit(coreGraph(), fields);
      const value = newValue();
      await server.submit(coreGraph(value), fields);
      await anna.count(2, ({ kind, data }) => kind === "executing" && data.node === null);
      expect((await server.history(fields.prompt_id))?.outputs).toEqual({ 2: { text: [String(value)] } });
    });
  });
}
