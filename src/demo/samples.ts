import type { Workflow } from "../client/index.ts";

/** A workflow to try, and what will come of it. */
export interface Sample {
  readonly id: string;
  readonly title: string;
  /** What a person will see when it runs. */
  readonly outcome: string;
  /** Whether it is to end badly: then nothing about it is mended to fit the server. */
  readonly meantToFail: boolean;
  /** A fresh copy, with a fresh seed: ComfyUI answers a workflow that it has just run from its cache. */
  build(): Workflow;
}

const prompts = [
  "a lighthouse keeper's kitchen at dawn, gouache",
  "three bicycles in the rain, seen from above",
  "a paper city at night, lit from within",
  "a heron over a canal in winter, woodcut",
] as const;

export const samples: readonly Sample[] = [
  {
    id: "text-to-image",
    title: "Text to image",
    outcome: "Twenty steps, then a picture",
    meantToFail: false,
    build: () => textToImage({ steps: 20, checkpoint: "v1-5-pruned-emaonly.safetensors" }),
  },
  {
    id: "slow-previews",
    title: "Slow, with previews",
    outcome: "Ten seconds of live previews",
    meantToFail: false,
    build: () => ({
      "1": {
        class_type: "ProtoSteps",
        inputs: {
          steps: 40,
          delay_ms: 250,
          preview: "jpeg",
          preview_size: 384,
          seed: seed(),
          label: "slow",
        },
      },
      "2": { class_type: "ProtoOut", inputs: { value: ["1", 1], tag: "slow" } },
    }),
  },
  {
    id: "node-error",
    title: "Fails half-way",
    outcome: "An exception at the seventh step",
    meantToFail: true,
    build: () => ({
      "1": {
        class_type: "ProtoSteps",
        inputs: { steps: 10, delay_ms: 200, preview: "jpeg", preview_size: 256, seed: seed(), fail_at: 6 },
      },
      "2": { class_type: "ProtoOut", inputs: { value: ["1", 1] } },
    }),
  },
  {
    id: "rejected",
    title: "Refused by the server",
    outcome: "No such checkpoint, zero steps",
    meantToFail: true,
    build: () => textToImage({ steps: 0, checkpoint: "no-such-model.safetensors" }),
  },
  {
    id: "editor-format",
    title: "Refused before sending",
    outcome: "Saved for the editor, not the API",
    meantToFail: true,
    build: () => editorWorkflow as unknown as Workflow,
  },
];

function textToImage({ steps, checkpoint }: { steps: number; checkpoint: string }): Workflow {
  const text = prompts[Math.floor(Math.random() * prompts.length)] as string;
  return {
    "3": {
      class_type: "KSampler",
      inputs: {
        seed: seed(),
        steps,
        cfg: 7,
        sampler_name: "euler",
        scheduler: "normal",
        denoise: 1,
        model: ["4", 0],
        positive: ["6", 0],
        negative: ["7", 0],
        latent_image: ["5", 0],
      },
    },
    "4": { class_type: "CheckpointLoaderSimple", inputs: { ckpt_name: checkpoint } },
    "5": { class_type: "EmptyLatentImage", inputs: { width: 512, height: 512, batch_size: 1 } },
    "6": { class_type: "CLIPTextEncode", inputs: { text, clip: ["4", 1] } },
    "7": { class_type: "CLIPTextEncode", inputs: { text: "blurry, watermark", clip: ["4", 1] } },
    "8": { class_type: "VAEDecode", inputs: { samples: ["3", 0], vae: ["4", 2] } },
    "9": { class_type: "SaveImage", inputs: { filename_prefix: "comfy-tabs", images: ["8", 0] } },
  };
}

const editorWorkflow = {
  last_node_id: 2,
  last_link_id: 1,
  nodes: [
    {
      id: 1,
      type: "CheckpointLoaderSimple",
      pos: [40, 120],
      widgets_values: ["v1-5-pruned-emaonly.safetensors"],
    },
    {
      id: 2,
      type: "KSampler",
      pos: [420, 120],
      widgets_values: [1, "randomize", 20, 8, "euler", "normal", 1],
    },
  ],
  links: [[1, 1, 0, 2, 0, "MODEL"]],
  version: 0.4,
};

const seed = () => Math.floor(Math.random() * 2 ** 32);
