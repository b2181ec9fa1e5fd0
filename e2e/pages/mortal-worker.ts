import "../../src/worker/main.ts";

// No browser but Chromium lets a test end a worker from outside.
new BroadcastChannel("end-workers").onmessage = () => self.close();
