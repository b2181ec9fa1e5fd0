import { describe, expect, test } from "vitest";
import { coreGraph, type ServerUnderTest } from "./server-under-test.ts";

export function infoContract(server: ServerUnderTest): void {
  describe("what it says of itself", () => {
    test("its version is a version", async () => {
      const { status, body } = await server.request("GET", "/system_stats");
      expect(status).toBe(200);
      expect(body).toMatchObject({
        system: { comfyui_version: expect.stringMatching(/^\d+\.\d+/) },
        devices: expect.any(Array),
      });
    });

    test("its features are there since 0.3.45", async () => {
      const { status, body } = await server.request("GET", "/features");
      expect(status).toBe(server.abilities.metadataPreviews ? 200 : 404);
      if (server.abilities.metadataPreviews)
        expect(body).toMatchObject({ supports_preview_metadata: true, max_upload_size: expect.any(Number) });
    });

    test("a class of nodes is described, an unknown one is an empty object", async () => {
      const { body } = await server.request("GET", "/object_info/PreviewAny");
      expect(body).toMatchObject({
        PreviewAny: {
          input: { required: { source: [expect.anything(), expect.anything()] } },
          input_order: { required: ["source"] },
          output: expect.any(Array),
          output_is_list: expect.any(Array),
          output_name: expect.any(Array),
          name: "PreviewAny",
          display_name: expect.any(String),
          description: expect.any(String),
          python_module: expect.any(String),
          category: expect.any(String),
          output_node: true,
        },
      });
      const unknown = await server.request("GET", "/object_info/NoSuchNodeAnywhere");
      expect(unknown).toMatchObject({ status: 200, body: {} });
    });

    test("all classes are listed, PrimitiveInt and PreviewAny among them", async () => {
      const { body } = await server.request("GET", "/object_info");
      expect(Object.keys(body as object)).toEqual(expect.arrayContaining(["PrimitiveInt", "PreviewAny"]));
    });

    test("routes are there with and without /api, the jobs only with it", async () => {
      for (const path of ["/prompt", "/queue", "/system_stats", "/object_info/PreviewAny"]) {
        const [plain, prefixed] = [
          await server.request("GET", path),
          await server.request("GET", `/api${path}`),
        ];
        expect(prefixed.status, path).toBe(200);
        expect(Object.keys(prefixed.body as object), path).toEqual(Object.keys(plain.body as object));
      }
      expect((await server.request("GET", "/jobs")).status).toBe(404);
    });

    test("what is no route is not found, and cannot be posted to", async () => {
      expect((await server.request("GET", "/no/such/route")).status).toBe(404);
      expect((await server.request("GET", "/interrupt")).status).toBe(404);
      expect((await server.request("POST", "/no/such/route", {})).status).toBe(405);
      expect((await server.request("DELETE", "/queue")).status).toBe(405);
      expect((await server.request("GET", "/ws")).status).toBe(400);
    });
  });

  describe("bodies that no client should send", () => {
    test("are a 500 in plain text where Python raises", async () => {
      for (const [path, body] of [
        ["/prompt", "{not json"],
        ["/prompt", ""],
        ["/prompt", { prompt: null }],
        ["/prompt", { prompt: { 1: 5 } }],
        ["/prompt", { prompt: coreGraph(), number: "abc" }],
        // Without a client id, old versions take this, and their worker thread dies of it.
        ["/prompt", { prompt: coreGraph(), extra_data: 5, client_id: "anna" }],
        ["/queue", ""],
        ["/history", ""],
      ] as const) {
        const { status, contentType } = await server.request("POST", path, body);
        expect(status, `${path} ${JSON.stringify(body)}`).toBe(500);
        expect(contentType).toMatch(/^text\/plain/);
      }
      expect((await server.request("GET", "/history?max_items=abc")).status).toBe(500);
    });

    test("are a graph without outputs where they are an empty list, until nodes were replaced", async () => {
      const { body } = await server.request("GET", "/features");
      const replaces = (body as { node_replacements?: boolean }).node_replacements === true;
      const { status } = await server.request("POST", "/prompt", { prompt: [] });
      expect(status).toBe(replaces ? 500 : 400);
    });

    test("are nothing where ComfyUI does not look", async () => {
      expect(await server.request("POST", "/queue", {})).toMatchObject({ status: 200, body: "" });
      expect((await server.request("POST", "/interrupt", "not json")).status).toBe(200);
      const list = server.abilities.targetedInterrupt ? 500 : 200;
      expect((await server.request("POST", "/interrupt", "[]")).status).toBe(list);
      const free = { unload_models: false, free_memory: false };
      expect((await server.request("POST", "/free", free)).status).toBe(200);
    });
  });
}
