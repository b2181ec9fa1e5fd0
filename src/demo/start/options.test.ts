import { describe, expect, test } from "vitest";
import { startOptions } from "./options.ts";

describe("the start options", () => {
  test("name no server when nothing is said: the simulator is used", () => {
    expect(startOptions([])).toEqual({ servers: [], port: 5173, simulatorVersion: undefined, help: false });
  });

  test("take several servers, and complete their addresses", () => {
    const { servers } = startOptions(["--server", "127.0.0.1:8188", "--server", "https://comfy.test/gpu/"]);
    expect(servers).toEqual(["http://127.0.0.1:8188", "https://comfy.test/gpu"]);
  });

  test.each([
    [["--server", "ftp://comfy.test"], /--server takes an address/],
    [["--server", "http://"], /--server takes an address/],
    [["--port", "80a"], /--port takes a number/],
    [["--port", "70000"], /--port takes a number/],
    [["--simulator-version", "newest"], /--simulator-version takes a version/],
    [["--server", "127.0.0.1:8188", "--simulator-version", "0.12"], /leave one of them out/],
    [["--sever", "x"], /Unknown option '--sever'\. See npm start/],
    [["stray"], /Unexpected argument 'stray'\. See npm start/],
    [["--server"], /--server.*argument missing\. See npm start/],
  ])("are refused in one sentence: %j", (args, sentence) => {
    expect(() => startOptions(args)).toThrow(sentence);
  });
});
