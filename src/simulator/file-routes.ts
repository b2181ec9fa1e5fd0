import { isObject, parseJson } from "../comfy/json.ts";
import { type Answer, empty, json, type Upload } from "./answers.ts";
import { type FileStore, type Folder, fromBytes, type StoredFile } from "./files.ts";
import { annotated } from "./nodes/image-nodes.ts";
import type { ServerState } from "./server-state.ts";
import { PythonError } from "./validation.ts";

const isFolder = (name: string): name is Folder => ["output", "input", "temp"].includes(name);
const isTraversal = (path: string): boolean => path.startsWith("/") || path.split(/[\\/]/).includes("..");
const folderPath = (subfolder: string): string => subfolder.replace(/^\.?\/+|\/+$/g, "");

/** `GET /view` (ComfyUI server.py, `view_image`). A preview asked for as WebP is sent as JPEG. */
export function view(query: URLSearchParams, { files }: ServerState): Answer {
  const name = query.get("filename");
  if (name === null) return empty(404);
  const { filename, folder: named } = suffixed(name);
  if (filename === "" || filename.startsWith("/") || filename.includes("..")) return empty(400);
  const folder = named ?? query.get("type") ?? "output";
  if (!isFolder(folder)) return empty(400);
  const subfolder = query.get("subfolder") ?? "";
  if (isTraversal(subfolder)) return empty(403);
  const base = filename.slice(filename.lastIndexOf("/") + 1);
  const file = files.get(folder, folderPath(subfolder), base);
  if (!file) return empty(404);
  const preview = query.get("preview");
  return preview === null ? whole(base, file) : reduced(base, file, preview);
}

function suffixed(name: string): { filename: string; folder: Folder | undefined } {
  if (!/ \[(input|output|temp)\]$/.test(name)) return { filename: name, folder: undefined };
  const { folder, subfolder, filename } = annotated(name);
  return { filename: subfolder === "" ? filename : `${subfolder}/${filename}`, folder };
}

/** What a browser would run is forced to be a download. */
const dangerous = /html|svg|javascript|css|xml/;

function whole(filename: string, file: StoredFile): Answer {
  const bytes = file.bytes();
  return {
    status: 200,
    contentType: dangerous.test(file.mime) ? "application/octet-stream" : file.mime,
    body: bytes,
    headers: {
      "X-Content-Type-Options": "nosniff",
      "Content-Disposition": `filename="${filename.replaceAll('"', "")}"`,
      Etag: `"${Math.floor(file.modifiedAt).toString(16)}-${bytes.length.toString(16)}"`,
      "Last-Modified": new Date(file.modifiedAt).toUTCString(),
      "Accept-Ranges": "bytes",
    },
    cors: true,
  };
}

function reduced(filename: string, file: StoredFile, preview: string): Answer {
  const quality = Number(/;(\d+)$/.exec(preview)?.[1] ?? 90);
  const headers = { "Content-Disposition": `filename="${filename.replaceAll('"', "")}"` };
  // The simulator cannot decode what was uploaded: that goes out as it came.
  if (!file.asJpeg) return { ...whole(filename, file), headers };
  return { status: 200, contentType: "image/jpeg", body: file.asJpeg(quality), headers, cors: true };
}

/** `POST /upload/image` (ComfyUI server.py, `image_upload`). */
export function uploadImage(upload: Upload, { files, now }: ServerState): Answer {
  return store(upload, files, now, ({ bytes }) => bytes);
}

/** `POST /upload/mask`: the original with the mask as its alpha; here, the mask as it came. */
export function uploadMask(upload: Upload, { files, now }: ServerState): Answer {
  const original = parseJson(upload.fields.original_ref ?? "");
  if (!isObject(original)) throw new PythonError("TypeError", "the JSON object must be str");
  const { filename, subfolder = "", type = "output" } = original;
  if (typeof filename !== "string" || filename === "" || filename.includes("..") || filename.startsWith("/"))
    return empty(400);
  if (typeof type !== "string" || !isFolder(type)) return empty(400);
  if (!files.get(type, folderPath(String(subfolder)), filename)) return empty(400);
  return store(upload, files, now, ({ bytes }) => bytes);
}

function store(
  { fields, file }: Upload,
  files: FileStore,
  now: number,
  bytesOf: (file: NonNullable<Upload["file"]>) => Uint8Array<ArrayBuffer>,
): Answer {
  if (!file || file.filename === "") return empty(400);
  const folder = fields.type ?? "input";
  if (!isFolder(folder)) throw new PythonError("TypeError", "expected str, bytes or os.PathLike object");
  const subfolder = fields.subfolder ?? "";
  if (isTraversal(subfolder) || isTraversal(file.filename)) return empty(400);
  const bytes = bytesOf(file);
  const replace = fields.overwrite === "true" || fields.overwrite === "1";
  const at = folderPath(subfolder);
  const name = replace ? file.filename : freeName(files, folder, at, file.filename, bytes);
  if (replace || !files.get(folder, at, name)) files.put(folder, at, name, fromBytes(bytes, file.mime, now));
  return json({ name, subfolder, type: folder });
}

/** The same bytes under the same name are the same file; others get a number. */
function freeName(files: FileStore, folder: Folder, subfolder: string, filename: string, bytes: Uint8Array) {
  const dot = filename.lastIndexOf(".");
  const [stem, ending] = dot <= 0 ? [filename, ""] : [filename.slice(0, dot), filename.slice(dot)];
  for (let count = 0; ; count += 1) {
    const name = count === 0 ? filename : `${stem} (${count})${ending}`;
    const there = files.get(folder, subfolder, name);
    if (!there || sameBytes(there.bytes(), bytes)) return name;
  }
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, place) => byte === b[place]);
