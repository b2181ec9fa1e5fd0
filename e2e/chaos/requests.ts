/** One HTTP request as it went over a connection. */
export interface HttpRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly body: Buffer;
  /** Head and body, byte for byte. */
  readonly bytes: Buffer;
  /** What follows on this connection is a WebSocket's. */
  readonly isUpgrade: boolean;
}

const headEnd = Buffer.from("\r\n\r\n");

/**
 * Cuts what a browser sends into its requests. Browsers say the length of every body, and nothing follows an
 * upgrade but the WebSocket's own bytes.
 */
export function createRequestReader(): { take(chunk: Buffer): HttpRequest[] } {
  let kept = Buffer.alloc(0);

  function next(): HttpRequest | undefined {
    const at = kept.indexOf(headEnd);
    if (at < 0) return undefined;
    const head = kept.subarray(0, at).toString("latin1");
    const bodyAt = at + headEnd.length;
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (kept.length < bodyAt + length) return undefined;
    const [method = "", target = ""] = head.split(" ", 2);
    const bytes = kept.subarray(0, bodyAt + length);
    kept = kept.subarray(bytes.length);
    return {
      method,
      path: target.replace(/\?.*/, ""),
      body: bytes.subarray(bodyAt),
      bytes,
      isUpgrade: /\r\nupgrade: *websocket/i.test(head),
    };
  }

  return {
    take(chunk) {
      kept = Buffer.concat([kept, chunk]);
      const requests: HttpRequest[] = [];
      for (let request = next(); request; request = next()) requests.push(request);
      return requests;
    },
  };
}
