import { createRandom } from "./random.ts";

/** An image before it is encoded. Pixels are painted when somebody looks: most previews are never seen. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** Red, green, blue, row by row. */
  pixels(): Uint8Array<ArrayBuffer>;
}

type Colour = readonly [red: number, green: number, blue: number];
type Paint = (x: number, y: number) => Colour;

function painted(width: number, height: number, paint: () => Paint): Picture {
  let kept: Uint8Array<ArrayBuffer> | undefined;
  return {
    width,
    height,
    pixels() {
      if (kept !== undefined) return kept;
      const colourAt = paint();
      kept = new Uint8Array(width * height * 3);
      let place = 0;
      for (let y = 0; y < height; y += 1)
        for (let x = 0; x < width; x += 1) {
          const [red, green, blue] = colourAt(x, y);
          kept[place++] = red;
          kept[place++] = green;
          kept[place++] = blue;
        }
      return kept;
    },
  };
}

export const flat = (width: number, height: number, colour: Colour): Picture =>
  painted(width, height, () => () => colour);

/** Its colour goes from blue to red with the steps, and a yellow bar grows below. */
export function stepPicture(step: number, steps: number, size: number): Picture {
  const share = step / Math.max(steps, 1);
  const bar = size - Math.max(4, size >> 4);
  const colour: Colour = [Math.trunc(255 * share), 64, 160];
  const filled = Math.trunc(size * share);
  return painted(size, size, () => (x, y) => (y >= bar && x <= filled ? [255, 255, 0] : colour));
}

/** Cannot be compressed: for frames of a wanted size. */
export function noisePicture(size: number, seed: number): Picture {
  return painted(size, size, () => {
    const random = createRandom(seed);
    return () => {
      const bits = Math.floor(random.next() * 0x1000000);
      return [bits >> 16, (bits >> 8) & 255, bits & 255];
    };
  });
}

export function bytesPicture(width: number, height: number, pixels: Uint8Array<ArrayBuffer>): Picture {
  return { width, height, pixels: () => pixels };
}

/**
 * What the simulated sampler draws: a landscape of its own for every seed. Before `share` is 1 it is
 * coarse and noisy, as latent previews are.
 */
export function landscape(width: number, height: number, seed: number, share = 1): Picture {
  return painted(width, height, () => {
    const random = createRandom(seed);
    const between = (low: number, high: number): number => low + random.next() * (high - low);
    const colour = (): Colour => [between(20, 240), between(20, 240), between(40, 240)];
    const [top, bottom, sunColour] = [colour(), colour(), colour()];
    const sun = { x: between(0.2, 0.8), y: between(0.15, 0.45), radius: between(0.06, 0.14) };
    const hills = Array.from({ length: 4 }, (_, place) => ({
      base: 0.45 + place * 0.13,
      waves: Array.from({ length: 3 }, () => [between(1, 9), between(0, 6), between(0.01, 0.05)] as const),
      colour: colour().map((part) => part * (0.85 - place * 0.17)) as unknown as Colour,
    }));
    const block = share >= 1 ? 1 : Math.max(1, Math.round((1 - share) * (width / 12)));
    const grain = (1 - share) * 110;
    /** How high the hills stand in each column: the same in all of its rows. */
    const tops = hills.map(({ base, waves }) =>
      Float64Array.from({ length: width }, (_, x) => {
        const u = (x - (x % block)) / width;
        return waves.reduce(
          (top, [frequency, phase, swing]) => top + Math.sin(u * frequency + phase) * swing,
          base,
        );
      }),
    );
    const grains = createRandom(seed + Math.round(share * 1000));
    return (x, y) => {
      const u = (x - (x % block)) / width;
      const v = (y - (y % block)) / height;
      let found: Colour | undefined;
      for (let place = 0; place < hills.length; place += 1)
        if (v > tops[place]![x]!) found = hills[place]!.colour;
      if (found === undefined) {
        const distance = Math.hypot(u - sun.x, (v - sun.y) * (height / width));
        found = distance < sun.radius ? sunColour : mix(top, bottom, v * 1.6);
      }
      if (grain === 0) return found;
      const shift = (grains.next() - 0.5) * grain;
      return [clamp(found[0] + shift), clamp(found[1] + shift), clamp(found[2] + shift)];
    };
  });
}

const clamp = (value: number): number => (value < 0 ? 0 : value > 255 ? 255 : value);
const mix = (a: Colour, b: Colour, share: number): Colour => {
  const part = Math.min(1, share);
  return [a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part, a[2] + (b[2] - a[2]) * part];
};
