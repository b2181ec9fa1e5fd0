import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addressSpace, encodePart, httpAddress, normaliseAddress, socketAddress } from "./addresses.ts";

/** All that a string can hold, lone surrogates among it. */
const anyText = fc.oneof(
  fc.string(),
  fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
);

describe("an address", () => {
  test.each([
    ["http://127.0.0.1:8188", "http://127.0.0.1:8188"],
    ["127.0.0.1:8188", "http://127.0.0.1:8188"],
    ["localhost", "http://localhost"],
    ["  http://comfy.test/ \n", "http://comfy.test"],
    ["HTTP://Comfy.TEST", "http://comfy.test"],
    ["http://comfy.test///", "http://comfy.test"],
    ["http://comfy.test:80", "http://comfy.test"],
    ["https://comfy.test:443/", "https://comfy.test"],
    ["https://comfy.test:80", "https://comfy.test:80"],
    ["ws://comfy.test:8188", "http://comfy.test:8188"],
    ["wss://comfy.test", "https://comfy.test"],
    ["WSS://comfy.test:443/", "https://comfy.test"],
    ["https://comfy.test/gpu/1/", "https://comfy.test/gpu/1"],
    ["https://comfy.test/a/../b", "https://comfy.test/b"],
    ["https://comfy.test/ä b", "https://comfy.test/%C3%A4%20b"],
    ["http://comfy.test/?token=1#top", "http://comfy.test"],
    ["http://anna:secret@comfy.test/", "http://comfy.test"],
    ["http://[::1]:8188/", "http://[::1]:8188"],
    ["[2001:DB8:0::1]:8188", "http://[2001:db8::1]:8188"],
    ["http://bücher.test", "http://xn--bcher-kva.test"],
  ])("%j is spelled %s", (given, spelled) => {
    expect(normaliseAddress(given)).toBe(spelled);
  });

  test.each([
    "",
    "   ",
    "/",
    "//",
    "http://",
    "http:///path",
    "http://?x",
    "http://@/",
    "http://comfy.test:99999",
    "::1",
    "http://[::1",
    "http://a b",
    "ftp://comfy.test",
    "file:///etc",
    "javascript:alert(1)",
    "data:text/html,x",
    "blob:http://comfy.test/1",
    "\ud800",
  ])("%j is none", (given) => {
    expect(normaliseAddress(given)).toBeUndefined();
  });

  test("has one spelling only: spelled again, it stays as it is", () => {
    const address = fc.oneof(
      fc
        .tuple(
          fc.constantFrom("", "http://", "https://", "WS://", "wss://"),
          fc.constantFrom(
            "comfy.test",
            "COMFY.test.",
            "10.0.0.1",
            "[::1]",
            "bücher.test",
            "anna:pw@comfy.test",
          ),
          fc.constantFrom("", ":", ":80", ":443", ":8188"),
          fc.constantFrom("", "/", "/a/", "//", "/a//../b/.", "/%2f", "?x=/", "#/"),
          anyText,
        )
        .map((parts) => parts.join("")),
      fc.ipV6().map((ip) => `http://[${ip}]:8188/`),
      anyText,
      fc.string().map((path) => `ws://comfy.test/${path}`),
    );
    fc.assert(
      fc.property(address, (given) => {
        const spelled = normaliseAddress(given);
        if (spelled === undefined) return;
        expect(normaliseAddress(spelled)).toBe(spelled);
        expect(spelled).toMatch(/^https?:\/\/[^/?#@]+(\/[^?#]*[^/?#])?$/);
      }),
    );
  });
});

describe("the address of a request", () => {
  test("keeps the server's path prefix", () => {
    expect(httpAddress("https://comfy.test/gpu", "/prompt")).toBe("https://comfy.test/gpu/prompt");
  });
});

describe("the address of a socket", () => {
  test.each([
    ["http://comfy.test:8188", "ws://comfy.test:8188/ws?clientId=a"],
    ["https://comfy.test/gpu", "wss://comfy.test/gpu/ws?clientId=a"],
    ["http://http.test", "ws://http.test/ws?clientId=a"],
  ])("at %s is %s", (base, address) => {
    expect(socketAddress(base, "a")).toBe(address);
  });

  test("carries a credential where there is one, and encodes what it is given", () => {
    expect(socketAddress("http://comfy.test", "a&b=c", { name: "to ken", value: "x#y&z" })).toBe(
      "ws://comfy.test/ws?clientId=a%26b%3Dc&to%20ken=x%23y%26z",
    );
  });
});

describe("a part of an address", () => {
  test("is what it was when the server has decoded it, and never throws", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        expect(decodeURIComponent(encodePart(text))).toBe(text);
      }),
    );
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0xd700, max: 0xe010 })), (units) => {
        expect(encodePart(String.fromCharCode(...units))).toMatch(/^(%[\dA-F]{2})*$/);
      }),
    );
  });

  test("keeps pairs of surrogates, and replaces lone ones", () => {
    expect(encodePart("\ud83d\ude00")).toBe("%F0%9F%98%80");
    expect(encodePart("a\udcffb")).toBe("a%EF%BF%BDb");
  });
});

describe("an address", () => {
  test.each([
    ["http://localhost:8188", "loopback"],
    ["http://comfy.localhost", "loopback"],
    ["http://127.9.9.9", "loopback"],
    ["http://[::1]:8188", "loopback"],
    ["http://10.1.2.3", "local"],
    ["http://172.31.0.1", "local"],
    ["http://192.168.0.7:8188/comfy", "local"],
    ["http://100.64.0.1", "local"],
    ["http://169.254.1.1", "local"],
    ["http://[fe80::1]", "local"],
    ["http://[fd12::1]", "local"],
    ["http://gpu.local", "local"],
    ["http://nas:8188", "local"],
    ["http://172.32.0.1", "public"],
    ["http://100.128.0.1", "public"],
    ["http://10.example.com", "public"],
    ["http://localhost.example.com", "public"],
    ["https://gpu.example", "public"],
    ["http://[2001:db8::1]", "public"],
  ])("%s is %s by its spelling", (address, space) => {
    expect(addressSpace(address)).toBe(space);
  });
});
