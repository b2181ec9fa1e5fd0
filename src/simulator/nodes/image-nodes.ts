import type { JsonObject } from "../../comfy/messages.ts";
import type { FileStore, Folder } from "../files.ts";
import { encodeJpeg } from "../jpeg.ts";
import { flat, type Picture } from "../pictures.ts";
import { encodePng } from "../png.ts";
import { NodeException, type NodeRun, type NodeType } from "./node-type.ts";

/** An image that was uploaded: the simulator cannot decode it, but hands it on as it came. */
export interface UploadedPicture extends Picture {
  readonly original: Uint8Array<ArrayBuffer>;
  readonly mime: string;
}

const image = { category: "image", module: "nodes" };

/** `prefix` may name a subfolder: `proto/out` becomes `out_00001_.png` in `proto`. */
function save(images: unknown, folder: Folder, prefix: string, node: NodeRun): JsonObject[] {
  const slash = prefix.lastIndexOf("/");
  const [subfolder, name] = slash < 0 ? ["", prefix] : [prefix.slice(0, slash), prefix.slice(slash + 1)];
  const pictures = (Array.isArray(images) ? images : [images]) as (Picture | UploadedPicture)[];
  return pictures.map((picture) => {
    if (typeof picture?.pixels !== "function")
      throw new NodeException("AttributeError", "'NoneType' object has no attribute 'cpu'");
    const count = String(node.files.nextCount(folder, prefix)).padStart(5, "0");
    const filename = `${name}_${count}_.png`;
    const texts = node.pictureTexts();
    let encoded: Uint8Array<ArrayBuffer> | undefined;
    node.files.put(folder, subfolder, filename, {
      mime: "original" in picture ? picture.mime : "image/png",
      modifiedAt: node.now,
      bytes: () => {
        encoded ??= "original" in picture ? picture.original : encodePng(picture, texts, node.deflate);
        return encoded;
      },
      ...("original" in picture ? {} : { asJpeg: (quality: number) => encodeJpeg(picture, quality) }),
    });
    return { filename, subfolder, type: folder };
  });
}

function load(name: unknown, files: FileStore): Picture {
  const { folder, subfolder, filename } = annotated(String(name));
  const file = files.get(folder, subfolder, filename);
  if (file === undefined) throw new NodeException("FileNotFoundError", `[Errno 2] No such file: '${name}'`);
  const original = file.bytes();
  const view = new DataView(original.buffer, original.byteOffset, original.byteLength);
  const isPng = original.length > 24 && view.getUint32(0) === 0x89504e47;
  const [width, height] = isPng ? [view.getUint32(16), view.getUint32(20)] : [64, 64];
  const uploaded: UploadedPicture = {
    ...flat(width, height, [128, 128, 128]),
    original,
    mime: file.mime,
  };
  return uploaded;
}

/** `a/b.png [temp]` names a file in a subfolder of a folder. */
export function annotated(name: string): { folder: Folder; subfolder: string; filename: string } {
  const match = /^(.*?)(?: \[(input|output|temp)\])?$/.exec(name)!;
  const path = match[1]!;
  const slash = path.lastIndexOf("/");
  return {
    folder: (match[2] as Folder | undefined) ?? "input",
    subfolder: slash < 0 ? "" : path.slice(0, slash),
    filename: path.slice(slash + 1),
  };
}

const missing = (input: string) => (inputs: JsonObject, files: FileStore) => {
  const { folder, subfolder, filename } = annotated(String(inputs[input]));
  return files.get(folder, subfolder, filename) === undefined
    ? { input, wrong: `Invalid image file: ${inputs[input]}` }
    : undefined;
};
const modified = (inputs: JsonObject, files: FileStore): string => {
  const { folder, subfolder, filename } = annotated(String(inputs.image));
  return String(files.get(folder, subfolder, filename)?.modifiedAt);
};

export const imageNodes: readonly NodeType[] = [
  {
    ...image,
    name: "EmptyImage",
    inputs: {
      required: {
        width: ["INT", { default: 512, min: 1, max: 16384, step: 1 }],
        height: ["INT", { default: 512, min: 1, max: 16384, step: 1 }],
        batch_size: ["INT", { default: 1, min: 1, max: 4096 }],
        color: ["INT", { default: 0, min: 0, max: 0xffffff, step: 1, display: "color" }],
      },
    },
    outputs: ["IMAGE"],
    run(inputs) {
      const colour = Number(inputs.color);
      const picture = flat(Number(inputs.width), Number(inputs.height), [
        colour >> 16,
        (colour >> 8) & 255,
        colour & 255,
      ]);
      return { values: [Array.from({ length: Number(inputs.batch_size) }, () => picture)] };
    },
  },
  {
    ...image,
    name: "SaveImage",
    displayName: "Save Image",
    inputs: {
      required: {
        images: ["IMAGE", { tooltip: "The images to save." }],
        filename_prefix: ["STRING", { default: "ComfyUI" }],
      },
      hidden: { prompt: "PROMPT", extra_pnginfo: "EXTRA_PNGINFO" },
    },
    outputs: [],
    isOutput: true,
    run(inputs, node) {
      return {
        values: [],
        ui: { images: save(inputs.images, "output", String(inputs.filename_prefix), node) },
      };
    },
  },
  {
    ...image,
    name: "PreviewImage",
    displayName: "Preview Image",
    inputs: {
      required: { images: ["IMAGE"] },
      hidden: { prompt: "PROMPT", extra_pnginfo: "EXTRA_PNGINFO" },
    },
    outputs: [],
    isOutput: true,
    run(inputs, node) {
      const letters = Array.from(
        { length: 5 },
        () => "abcdefghijklmnopqrstuvwxyz"[Math.floor(node.random.next() * 26)],
      );
      return {
        values: [],
        ui: { images: save(inputs.images, "temp", `ComfyUI_temp_${letters.join("")}`, node) },
      };
    },
  },
  {
    ...image,
    name: "GetImageSize",
    displayName: "Get Image Size",
    module: "comfy_extras.nodes_images",
    inputs: { required: { image: ["IMAGE"] }, hidden: { unique_id: "UNIQUE_ID" } },
    outputs: ["INT", "INT", "INT"],
    outputNames: ["width", "height", "batch_size"],
    run(inputs, node) {
      const pictures = (Array.isArray(inputs.image) ? inputs.image : [inputs.image]) as Picture[];
      const { width, height } = pictures[0]!;
      node.sendText(`width: ${width}, height: ${height}\n batch size: ${pictures.length}`, "everybody");
      return { values: [width, height, pictures.length] };
    },
  },
  {
    ...image,
    name: "LoadImage",
    displayName: "Load Image",
    inputs: { required: { image: [[], { image_upload: true }] } },
    outputs: ["IMAGE", "MASK"],
    check: missing("image"),
    fingerprint: modified,
    run(inputs, node) {
      return { values: [load(inputs.image, node.files), { mask: inputs.image }] };
    },
  },
  {
    ...image,
    name: "LoadImageMask",
    displayName: "Load Image (as Mask)",
    category: "mask",
    inputs: {
      required: {
        image: [[], { image_upload: true }],
        channel: [["alpha", "red", "green", "blue"]],
      },
    },
    outputs: ["MASK"],
    check: missing("image"),
    fingerprint: modified,
    run(inputs) {
      return { values: [{ mask: inputs.image }] };
    },
  },
];
