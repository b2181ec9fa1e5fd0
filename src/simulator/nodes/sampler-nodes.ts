import type { JsonObject } from "../../comfy/messages.ts";
import { landscape } from "../pictures.ts";
import { seedOf } from "../random.ts";
import type { NodeType } from "./node-type.ts";

/** A latent that knows what will be seen when it is decoded. */
interface Latent {
  readonly width: number;
  readonly height: number;
  readonly batch: number;
  readonly seed: number;
}

const samplers = ["euler", "euler_ancestral", "heun", "dpm_2", "dpmpp_2m", "dpmpp_sde", "ddim", "uni_pc"];
const schedulers = ["simple", "sgm_uniform", "karras", "exponential", "normal", "beta"];
const checkpoints = [
  "v1-5-pruned-emaonly.safetensors",
  "sd_xl_base_1.0.safetensors",
  "simulated.safetensors",
];
const nodes = { module: "nodes" };

const textOf = (value: unknown): string => String((value as JsonObject | undefined)?.text ?? "");

/** Enough of Stable Diffusion for a stock text-to-image workflow; what it paints is a landscape. */
export const samplerNodes: readonly NodeType[] = [
  {
    ...nodes,
    name: "CheckpointLoaderSimple",
    displayName: "Load Checkpoint",
    category: "loaders",
    inputs: {
      required: { ckpt_name: [checkpoints, { tooltip: "The name of the checkpoint (model) to load." }] },
    },
    outputs: ["MODEL", "CLIP", "VAE"],
    *run(inputs) {
      yield 400;
      const checkpoint = inputs.ckpt_name;
      return { values: [{ checkpoint }, { checkpoint }, { checkpoint }] };
    },
  },
  {
    ...nodes,
    name: "CLIPTextEncode",
    displayName: "CLIP Text Encode (Prompt)",
    category: "conditioning",
    inputs: { required: { text: ["STRING", { multiline: true, dynamicPrompts: true }], clip: ["CLIP"] } },
    outputs: ["CONDITIONING"],
    *run(inputs) {
      yield 60;
      return { values: [{ text: inputs.text }] };
    },
  },
  {
    ...nodes,
    name: "EmptyLatentImage",
    displayName: "Empty Latent Image",
    category: "latent",
    inputs: {
      required: {
        width: ["INT", { default: 512, min: 16, max: 16384, step: 8 }],
        height: ["INT", { default: 512, min: 16, max: 16384, step: 8 }],
        batch_size: ["INT", { default: 1, min: 1, max: 4096 }],
      },
    },
    outputs: ["LATENT"],
    run(inputs) {
      const latent: Latent = {
        width: Number(inputs.width),
        height: Number(inputs.height),
        batch: Number(inputs.batch_size),
        seed: 0,
      };
      return { values: [latent] };
    },
  },
  {
    ...nodes,
    name: "KSampler",
    category: "sampling",
    inputs: {
      required: {
        model: ["MODEL"],
        seed: ["INT", { default: 0, min: 0, max: 2 ** 64 - 1, control_after_generate: true }],
        steps: ["INT", { default: 20, min: 1, max: 10000 }],
        cfg: ["FLOAT", { default: 8, min: 0, max: 100, step: 0.1, round: 0.01 }],
        sampler_name: [samplers],
        scheduler: [schedulers],
        positive: ["CONDITIONING"],
        negative: ["CONDITIONING"],
        latent_image: ["LATENT"],
        denoise: ["FLOAT", { default: 1, min: 0, max: 1, step: 0.01 }],
      },
    },
    outputs: ["LATENT"],
    *run(inputs, node) {
      const from = inputs.latent_image as Latent;
      const seed = seedOf(`${inputs.seed}/${textOf(inputs.positive)}/${textOf(inputs.negative)}`);
      const steps = Number(inputs.steps);
      const scale = Math.min(1, 512 / Math.max(from.width, from.height));
      const [width, height] = [Math.round(from.width * scale), Math.round(from.height * scale)];
      const update = node.progressBar(steps);
      for (let step = 1; step <= steps; step += 1) {
        yield 150;
        const picture = landscape(width, height, seed, (step / steps) * 0.9);
        yield* update(step, node.samplerPreviews ? { format: "jpeg", picture } : undefined);
      }
      return { values: [{ ...from, seed }] };
    },
  },
  {
    ...nodes,
    name: "VAEDecode",
    displayName: "VAE Decode",
    category: "latent",
    inputs: { required: { samples: ["LATENT"], vae: ["VAE"] } },
    outputs: ["IMAGE"],
    *run(inputs) {
      yield 250;
      const { width, height, batch, seed } = inputs.samples as Latent;
      return {
        values: [Array.from({ length: batch }, (_, place) => landscape(width, height, seed + place))],
      };
    },
  },
];
