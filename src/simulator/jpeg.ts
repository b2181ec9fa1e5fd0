import type { Picture } from "./pictures.ts";

const zigzag = [
  0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46,
  53, 60, 61, 54, 47, 55, 62, 63,
];
const coarseness = [
  16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22,
  29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103,
  121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];
const directCounts = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
const directValues = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const alternatingCounts = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d];
const alternatingValues = hexBytes(
  "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435" +
    "363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a929394959697" +
    "98999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2" +
    "f3f4f5f6f7f8f9fa",
);
const directCodes = huffman(directCounts, directValues);
const alternatingCodes = huffman(alternatingCounts, alternatingValues);
const cosines = Float64Array.from({ length: 64 }, (_, place) => {
  const [frequency, sample] = [place >> 3, place & 7];
  return (frequency === 0 ? Math.SQRT1_2 : 1) * 0.5 * Math.cos(((2 * sample + 1) * frequency * Math.PI) / 16);
});

/** A baseline JPEG (ITU T.81), no chroma subsampling, the standard's luminance tables for all components. */
export function encodeJpeg({ width, height, pixels }: Picture, quality = 90): Uint8Array<ArrayBuffer> {
  const scale = quality < 50 ? 5000 / quality : 200 - quality * 2;
  const steps = coarseness.map((value) => Math.min(255, Math.max(1, Math.floor((value * scale + 50) / 100))));
  const out = createBits(1024 + (width * height) / 4);
  out.bytes([0xff, 0xd8, 0xff, 0xe0, 0, 16, 0x4a, 0x46, 0x49, 0x46, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0]);
  out.bytes([0xff, 0xdb, 0, 67, 0, ...zigzag.map((place) => steps[place]!)]);
  out.bytes([0xff, 0xc0, 0, 17, 8, height >> 8, height & 255, width >> 8, width & 255, 3]);
  out.bytes([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
  out.bytes([0xff, 0xc4, 0, 31, 0x00, ...directCounts, ...directValues]);
  out.bytes([0xff, 0xc4, 0, 181, 0x10, ...alternatingCounts, ...alternatingValues]);
  out.bytes([0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0]);

  const rgb = pixels();
  const blocks = [new Float64Array(64), new Float64Array(64), new Float64Array(64)];
  const previous = [0, 0, 0];
  for (let top = 0; top < height; top += 8)
    for (let left = 0; left < width; left += 8) {
      const even = readBlock(rgb, width, height, left, top, blocks);
      for (let part = 0; part < 3; part += 1)
        previous[part] = writeBlock(out, blocks[part]!, even, steps, previous[part]!);
    }
  return out.end();
}

/** @returns whether all its pixels are the same: such a block needs no transform */
function readBlock(
  rgb: Uint8Array,
  width: number,
  height: number,
  left: number,
  top: number,
  blocks: readonly Float64Array[],
): boolean {
  const [luma, blue, red] = blocks as [Float64Array, Float64Array, Float64Array];
  const start = (top * width + left) * 3;
  let even = true;
  for (let place = 0; place < 64; place += 1) {
    const y = Math.min(height - 1, top + (place >> 3));
    const x = Math.min(width - 1, left + (place & 7));
    const at = (y * width + x) * 3;
    const [r, g, b] = [rgb[at]!, rgb[at + 1]!, rgb[at + 2]!];
    if (r !== rgb[start] || g !== rgb[start + 1] || b !== rgb[start + 2]) even = false;
    luma[place] = 0.299 * r + 0.587 * g + 0.114 * b - 128;
    blue[place] = -0.168736 * r - 0.331264 * g + 0.5 * b;
    red[place] = 0.5 * r - 0.418688 * g - 0.081312 * b;
  }
  return even;
}

const rows = new Float64Array(64);
const columns = new Float64Array(64);
const quantised = new Int32Array(64);

function writeBlock(
  out: Bits,
  block: Float64Array,
  even: boolean,
  steps: readonly number[],
  previous: number,
): number {
  if (even) {
    const direct = Math.round((block[0]! * 8) / steps[0]!);
    writeDirect(out, direct - previous);
    out.code(alternatingCodes[0]!);
    return direct;
  }
  transform(block, rows);
  transform(rows, columns);
  for (let place = 0; place < 64; place += 1) quantised[place] = Math.round(columns[place]! / steps[place]!);
  writeDirect(out, quantised[0]! - previous);
  let zeros = 0;
  for (let place = 1; place < 64; place += 1) {
    const value = quantised[zigzag[place]!]!;
    if (value === 0) {
      zeros += 1;
      continue;
    }
    for (; zeros > 15; zeros -= 16) out.code(alternatingCodes[0xf0]!);
    const size = bitLength(value);
    out.code(alternatingCodes[(zeros << 4) | size]!);
    out.bits(value < 0 ? value + (1 << size) - 1 : value, size);
    zeros = 0;
  }
  if (zeros > 0) out.code(alternatingCodes[0]!);
  return quantised[0]!;
}

/** The cosines of each row, written as a column: done twice, it is the transform of the block. */
function transform(from: Float64Array, to: Float64Array): void {
  for (let row = 0; row < 64; row += 8) {
    const a = from[row]!;
    const b = from[row + 1]!;
    const c = from[row + 2]!;
    const d = from[row + 3]!;
    const e = from[row + 4]!;
    const f = from[row + 5]!;
    const g = from[row + 6]!;
    const h = from[row + 7]!;
    // What is the same, or the opposite, from both ends of the row is added up once.
    const [ah, bg, cf, de] = [a + h, b + g, c + f, d + e];
    const [oah, obg, ocf, ode] = [a - h, b - g, c - f, d - e];
    let place = row >> 3;
    for (let frequency = 0; frequency < 64; frequency += 16) {
      const odd = frequency + 8;
      to[place] =
        ah * cosines[frequency]! +
        bg * cosines[frequency + 1]! +
        cf * cosines[frequency + 2]! +
        de * cosines[frequency + 3]!;
      to[place + 8] =
        oah * cosines[odd]! + obg * cosines[odd + 1]! + ocf * cosines[odd + 2]! + ode * cosines[odd + 3]!;
      place += 16;
    }
  }
}

function writeDirect(out: Bits, difference: number): void {
  const size = bitLength(difference);
  out.code(directCodes[size]!);
  if (size > 0) out.bits(difference < 0 ? difference + (1 << size) - 1 : difference, size);
}

const bitLength = (value: number): number => 32 - Math.clz32(Math.abs(value));

type Code = readonly [bits: number, size: number];

function huffman(counts: readonly number[], values: readonly number[]): Code[] {
  const codes: Code[] = [];
  let [code, place] = [0, 0];
  counts.forEach((count, index) => {
    for (let taken = 0; taken < count; taken += 1) codes[values[place++]!] = [code++, index + 1];
    code <<= 1;
  });
  return codes;
}

interface Bits {
  bytes(bytes: readonly number[]): void;
  bits(value: number, size: number): void;
  code(code: Code): void;
  end(): Uint8Array<ArrayBuffer>;
}

function createBits(guess: number): Bits {
  let buffer = new Uint8Array(Math.ceil(guess));
  let [length, pending, pendingSize] = [0, 0, 0];
  const byte = (value: number): void => {
    if (length === buffer.length) {
      const larger = new Uint8Array(buffer.length * 2);
      larger.set(buffer);
      buffer = larger;
    }
    buffer[length++] = value;
  };
  const bits = (value: number, size: number): void => {
    pending = (pending << size) | value;
    pendingSize += size;
    while (pendingSize >= 8) {
      const next = (pending >> (pendingSize - 8)) & 255;
      byte(next);
      if (next === 255) byte(0);
      pendingSize -= 8;
    }
    pending &= (1 << pendingSize) - 1;
  };
  return {
    bytes: (bytes) => {
      for (const value of bytes) byte(value);
    },
    bits,
    code: ([value, size]) => bits(value, size),
    end: () => {
      if (pendingSize > 0) bits((1 << (8 - pendingSize)) - 1, 8 - pendingSize);
      byte(0xff);
      byte(0xd9);
      return buffer.slice(0, length);
    },
  };
}

function hexBytes(hex: string): number[] {
  return (hex.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));
}
