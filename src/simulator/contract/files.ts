import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { flat } from "../pictures.ts";
import { encodePng } from "../png.ts";
import { newValue, type ServerUnderTest } from "./server-under-test.ts";

export function filesContract(server: ServerUnderTest): void {
  const png = (shade: number) => encodePng(flat(8, 8, [shade, 100, 200]));
  const newName = (): string => `contract-${randomUUID()}.png`;
  const upload = (name: string, shade: number, fields = {}) =>
    server.form("/upload/image", fields, new File([png(shade)], name, { type: "image/png" }));
  const view = (query: Record<string, string>) => server.bytes(`/view?${new URLSearchParams(query)}`);

  describe("an upload", () => {
    test("is kept under its name, and read back byte by byte", async () => {
      const name = newName();
      expect(await upload(name, 1)).toMatchObject({
        status: 200,
        body: { name, subfolder: "", type: "input" },
      });
      const { status, contentType, bytes } = await view({ filename: name, type: "input" });
      expect({ status, contentType }).toEqual({ status: 200, contentType: "image/png" });
      expect(bytes.equals(png(1))).toBe(true);
    });

    test("of the same bytes keeps the name, of others it gets a number, unless it may overwrite", async () => {
      const name = newName();
      await upload(name, 1);
      expect((await upload(name, 1)).body).toMatchObject({ name });
      expect((await upload(name, 2)).body).toMatchObject({ name: name.replace(".png", " (1).png") });
      expect((await upload(name, 3, { overwrite: "true" })).body).toMatchObject({ name });
      expect((await view({ filename: name, type: "input" })).bytes.equals(png(3))).toBe(true);
    });

    test("can go to a subfolder and to another folder", async () => {
      const name = newName();
      const { body } = await upload(name, 1, { subfolder: "contract/deep", type: "temp" });
      expect(body).toMatchObject({ name, subfolder: "contract/deep", type: "temp" });
      const there = { filename: name, type: "temp", subfolder: "contract/deep" };
      expect((await view(there)).status).toBe(200);
      expect((await view({ ...there, type: "input" })).status).toBe(404);
    });

    test("may have letters in its name that addresses must encode", async () => {
      const name = `grüße & #1?+% ${randomUUID()}.png`;
      expect((await upload(name, 1)).body).toMatchObject({ name });
      expect((await view({ filename: name, type: "input" })).status).toBe(200);
    });

    test("is refused without a file, outside of its folder, and into no folder", async () => {
      expect((await server.form("/upload/image", { type: "input" })).status).toBe(400);
      expect((await upload(newName(), 1, { subfolder: "../.." })).status).toBe(400);
      expect((await upload(newName(), 1, { type: "bad" })).status).toBe(500);
    });

    test("of a mask needs its picture, and is kept like one", async () => {
      const [name, mask] = [newName(), newName()];
      await upload(name, 1);
      const original_ref = JSON.stringify({ filename: name, subfolder: "", type: "input" });
      const file = new File([png(9)], mask, { type: "image/png" });
      expect(await server.form("/upload/mask", { original_ref }, file)).toMatchObject({
        status: 200,
        body: { name: mask, subfolder: "", type: "input" },
      });
      expect((await view({ filename: mask, type: "input" })).contentType).toBe("image/png");
    });

    test("can be loaded by a node at once", async ({ skip }) => {
      const { body } = await server.request("GET", "/object_info/LoadImage");
      skip(!Object.hasOwn(body as object, "LoadImage"), "this server has no LoadImage");
      const prompt = (image: string): object => ({
        1: { class_type: "LoadImage", inputs: { image } },
        2: { class_type: "PreviewImage", inputs: { images: ["1", 0] } },
      });
      const missing = await server.request("POST", "/prompt", { prompt: prompt(newName()) });
      expect(missing).toMatchObject({
        status: 400,
        body: { node_errors: { 1: { errors: [{ type: "custom_validation_failed" }] } } },
      });
      const [name, anna] = [newName(), await server.connect()];
      await upload(name, newValue() % 256);
      const { prompt_id } = await server.submit({ ...prompt(name) }, { client_id: anna.clientId });
      await anna.ended(prompt_id);
      expect((await server.history(prompt_id))?.outputs).toMatchObject({ 2: { images: [{ type: "temp" }] } });
    });
  });

  describe("a view", () => {
    test("is not found, badly asked, or forbidden", async () => {
      const ask = async (query: Record<string, string>): Promise<number> => (await view(query)).status;
      expect(await ask({ filename: newName(), type: "output" })).toBe(404);
      expect(await ask({})).toBe(404);
      expect(await ask({ filename: "../x", type: "output" })).toBe(400);
      expect(await ask({ filename: "x.png", type: "bad" })).toBe(400);
      expect(await ask({ filename: "x.png", type: "input", subfolder: "../.." })).toBe(403);
    });

    test("may name the folder behind the file", async () => {
      const name = newName();
      await upload(name, 1);
      expect((await view({ filename: `${name} [input]` })).bytes.equals(png(1))).toBe(true);
    });

    test("of a saved picture is a PNG, and smaller as a preview", async ({ skip }) => {
      const { body } = await server.request("GET", "/object_info/EmptyImage");
      skip(!Object.hasOwn(body as object, "EmptyImage"), "this server has no EmptyImage");
      const anna = await server.connect();
      const color = newValue() % 0xffffff;
      const graph = {
        1: { class_type: "EmptyImage", inputs: { width: 64, height: 48, batch_size: 1, color } },
        2: { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "contract/saved" } },
      };
      const { prompt_id } = await server.submit(graph, { client_id: anna.clientId });
      await anna.ended(prompt_id);
      const outputs = (await server.history(prompt_id))?.outputs as {
        2: { images: { filename: string; subfolder: string; type: string }[] };
      };
      const { filename, subfolder, type } = outputs[2].images[0]!;
      expect({ filename, subfolder, type }).toEqual({
        filename: expect.stringMatching(/^saved_\d{5}_\.png$/),
        subfolder: "contract",
        type: "output",
      });
      const whole = await view({ filename, subfolder, type });
      expect(whole.contentType).toBe("image/png");
      expect([whole.bytes.readUInt32BE(16), whole.bytes.readUInt32BE(20)]).toEqual([64, 48]);
      const preview = await view({ filename, subfolder, type, preview: "jpeg;80" });
      expect(preview.contentType).toBe("image/jpeg");
      expect(preview.bytes.subarray(0, 3).toString("hex")).toBe("ffd8ff");
      // The simulator has no encoder for WebP, and sends what every browser shows as well.
      const webp = await view({ filename, subfolder, type, preview: "webp;75" });
      expect(["image/webp", "image/jpeg"]).toContain(webp.contentType);
    });
  });
}
