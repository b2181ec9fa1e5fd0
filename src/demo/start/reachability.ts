/** What stands between a page and a ComfyUI server, in one line; asked before the browser runs into it. */
export async function reachability(server: string, pageOrigin: string): Promise<string> {
  let answer: Response;
  try {
    answer = await fetch(`${server}/system_stats`, {
      headers: { origin: pageOrigin },
      signal: AbortSignal.timeout(3000),
    });
  } catch {
    return "does not answer yet";
  }
  // ComfyUI without the flag answers a page of another origin with 403, or without CORS headers (server.py).
  const allowed = answer.headers.get("access-control-allow-origin");
  if (answer.status === 403 || (answer.ok && allowed !== "*" && allowed !== pageOrigin))
    return `answers, but lets no page in: start it with --enable-cors-header ${pageOrigin}`;
  if (!answer.ok) return `answers with ${answer.status}: is this a ComfyUI?`;
  return "answers";
}
