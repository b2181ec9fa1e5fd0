import { describe, expect, test } from "vitest";
import { encodeJpeg } from "./jpeg.ts";
import { flat, landscape, noisePicture, type Picture } from "./pictures.ts";

interface Segment {
  readonly marker: number;
  readonly data: Uint8Array;
}

/** The segments before the scan, and the scan itself (ITU T.81, annex B). */
function segmentsOf(jpeg: Uint8Array): { segments: Segment[]; scan: Uint8Array } {
  expect([jpeg[0], jpeg[1]]).toEqual([0xff, 0xd8]);
  expect([jpeg.at(-2), jpeg.at(-1)]).toEqual([0xff, 0xd9]);
  const segments: Segment[] = [];
  let place = 2;
  while (segments.at(-1)?.marker !== 0xda) {
    expect(jpeg[place]).toBe(0xff);
    const length = (jpeg[place + 2]! << 8) | jpeg[place + 3]!;
    segments.push({ marker: jpeg[place + 1]!, data: jpeg.subarray(place + 4, place + 2 + length) });
    place += 2 + length;
  }
  return { segments, scan: jpeg.subarray(place, -2) };
}

/** The mean colours of the blocks of a JPEG without subsampling, from left to right and top to bottom. */
function blockMeans(jpeg: Uint8Array): number[][] {
  const { segments, scan } = segmentsOf(jpeg);
  const frame = segments.find(({ marker }) => marker === 0xc0)!.data;
  const [height, width] = [(frame[1]! << 8) | frame[2]!, (frame[3]! << 8) | frame[4]!];
  const step = segments.find(({ marker }) => marker === 0xdb)!.data[1]!;
  const tables = new Map(
    segments
      .filter(({ marker }) => marker === 0xc4)
      .map(({ data }) => [data[0]!, codesOf([...data.subarray(1, 17)], [...data.subarray(17)])]),
  );
  const bits = bitsOf(scan);
  const symbol = (table: ReadonlyMap<string, number>): number => {
    let code = "";
    while (!table.has(code)) {
      if (code.length > 16) throw new Error(`no such code: ${code}`);
      code += bits.take(1);
    }
    return table.get(code)!;
  };
  const means: number[][] = [];
  const direct = [0, 0, 0];
  for (let block = 0; block < Math.ceil(width / 8) * Math.ceil(height / 8); block += 1) {
    const parts = direct.map((before, part) => {
      const size = symbol(tables.get(0x00)!);
      const value = size === 0 ? 0 : Number.parseInt(bits.take(size), 2);
      direct[part] = before + (size > 0 && value < 1 << (size - 1) ? value - (1 << size) + 1 : value);
      for (let place = 1; place < 64; ) {
        const pair = symbol(tables.get(0x10)!);
        if (pair === 0) break;
        bits.take(pair & 15);
        place += (pair >> 4) + 1;
        expect(place).toBeLessThanOrEqual(64);
      }
      return (direct[part]! * step) / 8;
    }) as [number, number, number];
    means.push(toRgb(parts[0] + 128, parts[1], parts[2]));
  }
  expect(bits.rest()).toMatch(/^1{0,7}$/);
  return means;
}

function codesOf(counts: readonly number[], values: readonly number[]): Map<string, number> {
  const codes = new Map<string, number>();
  let [code, place] = [0, 0];
  counts.forEach((count, index) => {
    for (let taken = 0; taken < count; taken += 1)
      codes.set((code++).toString(2).padStart(index + 1, "0"), values[place++]!);
    code *= 2;
  });
  return codes;
}

function bitsOf(scan: Uint8Array): { take(size: number): string; rest(): string } {
  let text = "";
  scan.forEach((byte, place) => {
    if (byte === 0 && scan[place - 1] === 0xff) return;
    if (scan[place - 1] === 0xff) throw new Error("a marker inside the scan");
    text += byte.toString(2).padStart(8, "0");
  });
  let at = 0;
  return {
    take(size) {
      at += size;
      return text.slice(at - size, at);
    },
    rest: () => text.slice(at),
  };
}

const toRgb = (luma: number, blue: number, red: number): number[] => [
  luma + 1.402 * red,
  luma - 0.344136 * blue - 0.714136 * red,
  luma + 1.772 * blue,
];

function trueMeans({ width, height, pixels }: Picture): number[][] {
  const rgb = pixels();
  const means: number[][] = [];
  for (let top = 0; top < height; top += 8)
    for (let left = 0; left < width; left += 8) {
      const sums = [0, 0, 0];
      for (let place = 0; place < 64; place += 1) {
        const [x, y] = [Math.min(width - 1, left + (place & 7)), Math.min(height - 1, top + (place >> 3))];
        for (const part of [0, 1, 2]) sums[part]! += rgb[(y * width + x) * 3 + part]! / 64;
      }
      means.push(sums);
    }
  return means;
}

describe("a JPEG", () => {
  test("has the segments of a baseline picture, and its size", () => {
    const { segments } = segmentsOf(encodeJpeg(flat(300, 17, [1, 2, 3])));
    expect(segments.map(({ marker }) => marker)).toEqual([0xe0, 0xdb, 0xc0, 0xc4, 0xc4, 0xda]);
    expect(Buffer.from(segments[0]!.data.subarray(0, 5)).toString("latin1")).toBe("JFIF\0");
    expect([...segments[2]!.data.subarray(0, 6)]).toEqual([8, 0, 17, 1, 44, 3]);
  });

  test.each([
    ["one colour", flat(24, 16, [200, 30, 90])],
    ["a size that is no multiple of eight", flat(13, 9, [0, 255, 128])],
    ["noise", noisePicture(40, 3)],
    ["a landscape", landscape(64, 48, 11)],
    ["a noisy landscape", landscape(33, 50, 5, 0.3)],
  ])("of %s decodes to its colours", (_, picture) => {
    const decoded = blockMeans(encodeJpeg(picture, 95));
    const wanted = trueMeans(picture);
    expect(decoded).toHaveLength(wanted.length);
    decoded.forEach((mean, block) => {
      mean.forEach((value, part) => {
        expect(Math.abs(value - wanted[block]![part]!), `block ${block}, part ${part}`).toBeLessThan(2);
      });
    });
  });

  test("is smaller the coarser it is", () => {
    const picture = landscape(128, 128, 1, 0.5);
    const sizes = [95, 75, 30].map((quality) => encodeJpeg(picture, quality).length);
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
  });
});
