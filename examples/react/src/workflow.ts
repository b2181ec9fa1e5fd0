import type { Workflow } from "comfy-tabs";

/** `?server=` names another one. */
export const serverUrl = new URLSearchParams(location.search).get("server") ?? "http://127.0.0.1:8188";

/** Stands for yours, as "Export (API)" saves it: a plain image. */
export const workflow: Workflow = {
  "1": { class_type: "EmptyImage", inputs: { width: 64, height: 64, batch_size: 1, color: 0x336699 } },
  "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "example" } },
};
