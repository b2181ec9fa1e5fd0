import type { JsonObject } from "./messages.ts";

/** The value behind the text, or undefined: nothing that a server says may throw here. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    try {
      return JSON.parse(plainJson(text));
    } catch {
      return undefined;
    }
  }
}

/**
 * Python writes numbers that JSON has no words for as `NaN` and `Infinity`; they become null, as `JSON.stringify` has it.
 * Word by word, not string by string: on text that is no JSON, a pattern for whole strings takes minutes.
 */
export function plainJson(text: string): string {
  if (!/NaN|Infinity/.test(text)) return text;
  let inString = false;
  return text.replace(/\\.|"|-?Infinity|NaN/gs, (word) => {
    if (word === '"') inString = !inString;
    return inString || /^["\\]/.test(word) ? word : "null";
  });
}

/** Without the fields that are undefined: what is absent stays absent. */
export const present = <T extends object>(fields: T): { [Field in keyof T]?: Exclude<T[Field], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as typeof fields;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const asObject = (value: unknown): JsonObject => (isObject(value) ? value : {});
export const asArray = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
export const asString = (value: unknown): string | undefined =>
  typeof value === "string" ? value : undefined;
export const asNumber = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) ? value : undefined;
/** Node ids are strings, but custom nodes send numbers, too. */
export const asId = (value: unknown): string | undefined =>
  typeof value === "string" ? value : typeof value === "number" ? String(value) : undefined;
export const asIds = (value: unknown): string[] => asArray(value).flatMap((one) => asId(one) ?? []);
/** The entries that are objects themselves, by key. */
export const asObjects = (value: unknown): { readonly [key: string]: JsonObject } =>
  Object.fromEntries(
    Object.entries(asObject(value)).filter((pair): pair is [string, JsonObject] => isObject(pair[1])),
  );
