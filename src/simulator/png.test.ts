import { deflateSync, inflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { bytesPicture, flat, noisePicture } from "./pictures.ts";
import { encodePng } from "./png.ts";

interface Chunk {
  readonly type: string;
  readonly data: Uint8Array;
}

/** Reads a PNG as RFC 2083 says, and checks every checksum. */
function chunksOf(png: Uint8Array): Chunk[] {
  expect([...png.subarray(0, 8)]).toEqual([137, 80, 78, 71, 13, 10, 26, 10]);
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const chunks: Chunk[] = [];
  for (let place = 8; place < png.length; ) {
    const length = view.getUint32(place);
    const type = Buffer.from(png.subarray(place + 4, place + 8)).toString("latin1");
    expect(view.getUint32(place + 8 + length), type).toBe(crc(png.subarray(place + 4, place + 8 + length)));
    chunks.push({ type, data: png.subarray(place + 8, place + 8 + length) });
    place += length + 12;
  }
  return chunks;
}

/** Bit by bit, unlike the encoder's table. */
function crc(bytes: Uint8Array): number {
  let rest = 0xffffffff;
  for (const byte of bytes) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  }
  return ~rest >>> 0;
}

/** The pixels of an unfiltered RGB PNG. */
function pixelsOf(png: Uint8Array): { width: number; height: number; pixels: number[] } {
  const chunks = chunksOf(png);
  const header = Buffer.from(chunks[0]!.data);
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  expect([...header.subarray(8)]).toEqual([8, 2, 0, 0, 0]);
  const rows = inflateSync(Buffer.concat(chunks.filter(({ type }) => type === "IDAT").map((c) => c.data)));
  expect(rows).toHaveLength(height * (width * 3 + 1));
  const pixels: number[] = [];
  for (let y = 0; y < height; y += 1) {
    expect(rows[y * (width * 3 + 1)]).toBe(0);
    pixels.push(...rows.subarray(y * (width * 3 + 1) + 1, (y + 1) * (width * 3 + 1)));
  }
  return { width, height, pixels };
}

describe("a PNG", () => {
  test("gives back the picture's size and pixels, stored as well as compressed", () => {
    const colours = Uint8Array.from([255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    const picture = bytesPicture(3, 2, colours);
    for (const png of [encodePng(picture), encodePng(picture, {}, deflateSync)])
      expect(pixelsOf(png)).toEqual({ width: 3, height: 2, pixels: [...colours] });
  });

  test("of more than one stored block is read back whole", () => {
    const picture = noisePicture(200, 7);
    expect(pixelsOf(encodePng(picture)).pixels).toEqual([...picture.pixels()]);
  });

  test("carries texts as ComfyUI writes them: a key, a zero, latin letters", () => {
    const chunks = chunksOf(encodePng(flat(1, 1, [1, 2, 3]), { prompt: '{"1":{}}', workflow: "ä€" }));
    expect(chunks.map(({ type }) => type)).toEqual(["IHDR", "tEXt", "tEXt", "IDAT", "IEND"]);
    const texts = chunks.slice(1, 3).map(({ data }) => Buffer.from(data).toString("latin1"));
    expect(texts).toEqual(['prompt\0{"1":{}}', "workflow\0ä?"]);
  });
});
