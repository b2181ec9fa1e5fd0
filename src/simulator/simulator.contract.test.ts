import { startSimulator } from "./http-server.ts";
import { simulatorContract } from "./simulator-contract.ts";

const real = process.env.COMFYUI_URL;

if (real)
  simulatorContract(`the ComfyUI at ${real}`, async () => ({
    url: real.replace(/\/+$/, ""),
    close: () => Promise.resolve(),
  }));
else
  for (const version of ["0.33.0", "0.12.1", "0.3.64", "0.3.42"])
    simulatorContract(`the simulated ComfyUI ${version}`, () => startSimulator({ version }));
