import { describe, expect, test } from "vitest";
import { outputFiles, viewPath } from "./files.ts";

const image = { filename: "a.png", subfolder: "", type: "output" };

describe("the files in a node's output", () => {
  test.each([
    ["images", "image"],
    ["gifs", "gif"],
    ["audio", "audio"],
    ["audios", "audio"],
    ["video", "video"],
    ["videos", "video"],
    ["meshes", "mesh"],
    ["boxes", "box"],
    ["batches", "batch"],
    ["textures", "texture"],
    ["3d", "3d"],
    ["glass", "glass"],
    ["s", "s"],
  ])("under %j are each of kind %j", (name, kind) => {
    expect(outputFiles("9", { [name]: [image] })).toEqual([{ nodeId: "9", kind, ...image }]);
  });

  test("are found under every name, in order", () => {
    const output = {
      images: [image, { ...image, filename: "b.png" }],
      gifs: [{ ...image, filename: "c.gif" }],
    };
    expect(outputFiles("9", output).map(({ kind, filename }) => [kind, filename])).toEqual([
      ["image", "a.png"],
      ["image", "b.png"],
      ["gif", "c.gif"],
    ]);
  });

  test("keep nothing but what makes a file", () => {
    const output = { images: [{ ...image, id: "asset", format: "x" }] };
    expect(outputFiles("9", output)).toEqual([{ nodeId: "9", kind: "image", ...image }]);
  });

  test.each([
    ["temp", "temp"],
    ["input", "input"],
    ["output", "output"],
    ["elsewhere", "output"],
    [undefined, "output"],
    [7, "output"],
  ])("of type %j lie in %s", (type, wanted) => {
    expect(outputFiles("9", { images: [{ filename: "a.png", type }] })).toEqual([
      { nodeId: "9", kind: "image", filename: "a.png", subfolder: "", type: wanted },
    ]);
  });

  test.each<[string, unknown]>([
    ["no output", null],
    ["a list", [image]],
    ["a text", { text: ["hello"] }],
    ["a flag", { animated: [true] }],
    ["a file without a name", { images: [{ subfolder: "", type: "output" }] }],
    ["a file with an empty name", { images: [{ ...image, filename: "" }] }],
    ["a file whose name is no string", { images: [{ ...image, filename: 7 }] }],
    ["an object that is not in a list", { images: image }],
  ])("are not seen in %s", (_, output) => {
    expect(outputFiles("9", output)).toEqual([]);
  });
});

describe("the address of a file", () => {
  test("encodes every part, for names are the users' own", () => {
    expect(viewPath({ filename: "ä & b#1?.png", subfolder: "x/y z", type: "temp" })).toBe(
      "/view?filename=%C3%A4%20%26%20b%231%3F.png&subfolder=x%2Fy%20z&type=temp",
    );
  });

  test("asks for a preview or a channel only when told to", () => {
    expect(viewPath({ ...image, type: "output" }, { preview: "webp;80", channel: "rgb" })).toBe(
      "/view?filename=a.png&subfolder=&type=output&preview=webp%3B80&channel=rgb",
    );
  });

  test("is one even for a name that Python could not decode", () => {
    expect(viewPath({ ...image, type: "output", filename: "\udcff.png" })).toContain(
      "filename=%EF%BF%BD.png&",
    );
  });
});
