import { asObject, parseJson } from "./json.ts";

/** The answer to `POST /api/jobs/{id}/cancel`; undefined if it is none. */
export function readCancelled(text: string): boolean | undefined {
  const { cancelled } = asObject(parseJson(text));
  return typeof cancelled === "boolean" ? cancelled : undefined;
}
