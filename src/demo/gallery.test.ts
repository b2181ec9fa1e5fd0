// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";
import { Gallery } from "./gallery.ts";

afterEach(() => vi.restoreAllMocks());

test("previews that come faster than they are drawn leave nothing behind", () => {
  const held = new Set<string>();
  let count = 0;
  vi.spyOn(URL, "createObjectURL").mockImplementation(() => {
    count += 1;
    held.add(`blob:${count}`);
    return `blob:${count}`;
  });
  vi.spyOn(URL, "revokeObjectURL").mockImplementation((url) => void held.delete(url));
  const gallery = new Gallery();
  for (let times = 0; times < 10; times += 1) gallery.showPreview(new Blob(["x"]), "a node");
  expect([...held]).toEqual(["blob:10"]);
  gallery.view.querySelector("img")?.dispatchEvent(new Event("load"));
  expect([...held]).toEqual([]);
});
