import type { OutputFile } from "../client/index.ts";
import { element } from "./element.ts";

/** What a task shows: its live preview while it runs, then the files and words it made, side by side. */
export class Gallery {
  readonly view = element("div", { class: "gallery", "data-testid": "gallery" });
  readonly #outputs = element("ul", { class: "gallery-outputs" });
  readonly #words = element("pre", { class: "gallery-words", hidden: true });
  readonly #seen = new Set<string>();
  #preview: HTMLElement | undefined;
  #previewImage: HTMLImageElement | undefined;
  #previewUrl = "";

  constructor() {
    this.view.append(this.#outputs, this.#words);
  }

  showPreview(image: Blob, nodeName: string): void {
    // One that was to be drawn until now never will be, and would be held for ever.
    URL.revokeObjectURL(this.#previewUrl);
    const url = URL.createObjectURL(image);
    this.#previewUrl = url;
    if (!this.#previewImage) {
      this.#previewImage = element("img", { alt: "Live preview", "data-testid": "preview" });
      this.#preview = element(
        "figure",
        { class: "tile tile-live" },
        this.#previewImage,
        element("figcaption"),
      );
      this.view.prepend(this.#preview);
    }
    const shown = this.#previewImage;
    shown.onload = shown.onerror = () => URL.revokeObjectURL(url);
    shown.src = url;
    if (this.#preview?.lastElementChild) this.#preview.lastElementChild.textContent = `Live · ${nodeName}`;
  }

  showFiles(files: readonly OutputFile[]): void {
    for (const file of files) {
      if (this.#seen.has(file.url)) continue;
      this.#seen.add(file.url);
      this.#outputs.append(element("li", { class: "tile", "data-testid": "output" }, ...tile(file)));
    }
  }

  /** Nodes that show text put it under `text`, as a list. */
  showWords(output: unknown): void {
    const text = (output as { text?: unknown } | null)?.text;
    const lines = Array.isArray(text) ? text : typeof text === "string" ? [text] : [];
    if (lines.length === 0) return;
    this.#words.hidden = false;
    this.#words.append(`${this.#words.textContent ? "\n" : ""}${lines.join("\n")}`);
  }

  /** The run is over: a picture replaces the preview; without one, the last preview stays as a memory. */
  settle(): void {
    if (!this.#preview) return;
    if (this.#outputs.querySelector("img, video")) this.#preview.remove();
    else {
      this.#preview.className = "tile tile-memory";
      this.#previewImage?.setAttribute("alt", "Last preview");
      if (this.#preview.lastElementChild) this.#preview.lastElementChild.textContent = "Last preview";
    }
  }
}

function tile(file: OutputFile): HTMLElement[] {
  const open = { href: file.url, target: "_blank", rel: "noreferrer", class: "tile-link" };
  const name = element("span", { class: "tile-name", title: file.filename }, file.filename);
  switch (mediumOf(file)) {
    case "image": {
      const image = element("img", { src: file.url, alt: `Output ${file.filename}`, loading: "lazy" });
      return [element("a", open, image), name];
    }
    case "video":
      return [element("video", { src: file.url, controls: true, loop: true, preload: "metadata" }), name];
    case "audio":
      return [element("audio", { src: file.url, controls: true, preload: "none" }), name];
    case "file":
      return [element("a", { ...open, class: "tile-file" }, file.filename.split(".").at(-1) ?? "file"), name];
  }
}

function mediumOf({ filename, kind }: OutputFile): "image" | "video" | "audio" | "file" {
  if (/\.(png|jpe?g|webp|gif|avif|svg)$/i.test(filename)) return "image";
  if (/\.(mp4|webm|mov|mkv)$/i.test(filename)) return "video";
  if (/\.(mp3|wav|flac|ogg|opus|m4a)$/i.test(filename) || kind === "audio") return "audio";
  return "file";
}
