/** A file that comes with an upload, and the form around it. */
export interface Upload {
  readonly fields: Readonly<Record<string, string>>;
  readonly file:
    | { readonly filename: string; readonly mime: string; readonly bytes: Uint8Array<ArrayBuffer> }
    | undefined;
}

/** A request, as far as ComfyUI looks at it: it parses bodies whatever their content type says. */
export interface Request {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly body: string | Upload | undefined;
}

/** Of any target that a client may send: `URL` would throw for some. */
export function splitTarget(target: string): { readonly path: string; readonly query: URLSearchParams } {
  const place = target.indexOf("?");
  const path = place < 0 ? target : target.slice(0, place);
  return { path, query: new URLSearchParams(place < 0 ? "" : target.slice(place + 1)) };
}

export interface Answer {
  readonly status: number;
  readonly contentType?: string;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether it carries the CORS headers. What aiohttp makes of an exception does not (ComfyUI server.py). */
  readonly cors: boolean;
}

export const json = (value: unknown, status = 200): Answer => ({
  status,
  contentType: "application/json; charset=utf-8",
  body: JSON.stringify(value),
  cors: true,
});

export const empty = (status = 200): Answer => ({ status, body: "", cors: true });

export const serverError: Answer = {
  status: 500,
  contentType: "text/plain; charset=utf-8",
  body: "500 Internal Server Error\n\nServer got itself in trouble",
  cors: false,
};

export const notAllowed: Answer = {
  status: 405,
  contentType: "text/plain; charset=utf-8",
  body: "405: Method Not Allowed",
  cors: false,
};
