import type { IncomingMessage } from "node:http";
import type { Request, Upload } from "./answers.ts";

/** ComfyUI's `max_upload_size`. */
const largestBody = 100 * 1024 * 1024;

export class BodyTooLarge extends Error {}

/** Forms are taken apart here, so that the server itself sees no multipart. */
export async function readBody(request: IncomingMessage): Promise<Request["body"]> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > largestBody) throw new BodyTooLarge();
    parts.push(part);
  }
  if (size === 0) return undefined;
  const bytes = Buffer.concat(parts);
  const contentType = request.headers["content-type"] ?? "";
  return contentType.startsWith("multipart/form-data")
    ? readForm(bytes, contentType)
    : bytes.toString("utf8");
}

async function readForm(bytes: Buffer<ArrayBuffer>, contentType: string): Promise<Upload> {
  const form = await new Response(bytes, { headers: { "content-type": contentType } }).formData();
  const image = form.get("image");
  const fields = [...form].filter((field): field is [string, string] => typeof field[1] === "string");
  const file =
    image !== null && typeof image !== "string"
      ? { filename: image.name, mime: mimeOf(image.name), bytes: new Uint8Array(await image.arrayBuffer()) }
      : undefined;
  return { fields: Object.fromEntries(fields), file };
}

const mimes: Readonly<Record<string, string>> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  webp: "image/webp",
  gif: "image/gif",
  svg: "image/svg+xml",
  html: "text/html",
  mp4: "video/mp4",
  wav: "audio/wav",
  mp3: "audio/mpeg",
};

/** By its name, as Python's `mimetypes` guesses. */
const mimeOf = (filename: string): string =>
  mimes[filename.slice(filename.lastIndexOf(".") + 1).toLowerCase()] ?? "application/octet-stream";
