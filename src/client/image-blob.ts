/** Its type comes from the bytes: what the server says of them is sometimes wrong. */
export function imageBlob(image: ArrayBuffer): Blob {
  const [a, b] = new Uint8Array(image, 0, Math.min(2, image.byteLength));
  const type =
    a === 0x89 && b === 0x50 ? "image/png" : a === 0x52 && b === 0x49 ? "image/webp" : "image/jpeg";
  return new Blob([image], { type });
}
