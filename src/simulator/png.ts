import type { Picture } from "./pictures.ts";

/** Compresses to a zlib stream, as `zlib.deflateSync` does. */
export type Deflate = (bytes: Uint8Array) => Uint8Array;

/** An RGB PNG (RFC 2083). Without `deflate` the pixels are stored, not compressed. */
export function encodePng(
  picture: Picture,
  texts: Readonly<Record<string, string>> = {},
  deflate: Deflate = store,
): Uint8Array<ArrayBuffer> {
  const { width, height } = picture;
  const pixels = picture.pixels();
  const rows = new Uint8Array(height * (width * 3 + 1));
  for (let y = 0; y < height; y += 1)
    rows.set(pixels.subarray(y * width * 3, (y + 1) * width * 3), y * (width * 3 + 1) + 1);
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 2, 0, 0, 0], 8);
  return concat([
    new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk("IHDR", header),
    ...Object.entries(texts).map(([key, text]) => chunk("tEXt", latin1(`${key}\0${text}`))),
    chunk("IDAT", deflate(rows)),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(latin1(type), 4);
  bytes.set(data, 8);
  view.setUint32(data.length + 8, crc32(bytes.subarray(4, data.length + 8)));
  return bytes;
}

const latin1 = (text: string): Uint8Array =>
  Uint8Array.from(text, (letter) => (letter.charCodeAt(0) < 256 ? letter.charCodeAt(0) : 63));

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let place = 0; place < bytes.length; place += 1)
    crc = crcTable[(crc ^ bytes[place]!) & 255]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Stored deflate blocks in a zlib stream (RFC 1950, 1951). */
function store(bytes: Uint8Array): Uint8Array {
  const blocks = Math.max(1, Math.ceil(bytes.length / 65535));
  const stream = new Uint8Array(bytes.length + blocks * 5 + 6);
  stream.set([0x78, 0x01]);
  let place = 2;
  for (let block = 0; block < blocks; block += 1) {
    const part = bytes.subarray(block * 65535, (block + 1) * 65535);
    const inverse = ~part.length & 0xffff;
    stream.set(
      [block === blocks - 1 ? 1 : 0, part.length & 255, part.length >> 8, inverse & 255, inverse >> 8],
      place,
    );
    stream.set(part, place + 5);
    place += part.length + 5;
  }
  let [low, high] = [1, 0];
  for (let index = 0; index < bytes.length; index += 1) {
    low = (low + bytes[index]!) % 65521;
    high = (high + low) % 65521;
  }
  new DataView(stream.buffer).setUint32(place, ((high << 16) | low) >>> 0);
  return stream;
}

export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    whole.set(part, place);
    place += part.length;
  }
  return whole;
}
