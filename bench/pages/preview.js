/** A type-4 frame: event type, length of the JSON, JSON, image (ComfyUI protocol.py). @param {ArrayBuffer} frame */
export function previewOf(frame) {
  const { about, offset } = readPreview(frame);
  return {
    promptId: about.prompt_id,
    image: new Blob([new Uint8Array(frame, offset)], { type: about.image_type }),
  };
}

const decoder = new TextDecoder();

/** @param {ArrayBuffer} frame */
export function readPreview(frame) {
  const view = new DataView(frame);
  if (view.getUint32(0) !== 4) throw new Error("Not a preview with metadata");
  const length = view.getUint32(4);
  const about = JSON.parse(decoder.decode(new Uint8Array(frame, 8, length)));
  return { about, offset: 8 + length };
}
