import type { JsonObject } from "../comfy/messages.ts";
import type { InputSpec, NodeType } from "./nodes/node-type.ts";
import { type WireError, wireError } from "./wire.ts";

/**
 * Converts a value to what its input wants, puts it there, and checks it (execution.py, `validate_inputs`).
 *
 * @param about what an error says of the value
 */
export function validateValue(
  name: string,
  value: unknown,
  [kind, options = {}]: InputSpec,
  inputs: Record<string, unknown>,
  about: (value: unknown) => JsonObject,
  type: NodeType,
): WireError | undefined {
  const wrapped = value as { __value__?: unknown } | null;
  if (typeof wrapped === "object" && wrapped !== null && "__value__" in wrapped) value = wrapped.__value__;
  try {
    value = converted(kind, value);
  } catch (error) {
    const message = (error as Error).message;
    return wireError(
      "invalid_input_type",
      `Failed to convert an input value to a ${kind} value`,
      `${name}, ${pythonText(value)}, ${message}`,
      { ...about(value), exception_message: message },
    );
  }
  inputs[name] = value;
  const { min, max } = options as { min?: number; max?: number };
  if (typeof value === "number" && min !== undefined && value < min)
    return wireError(
      "value_smaller_than_min",
      `Value ${value} smaller than min of ${min}`,
      name,
      about(value),
    );
  if (typeof value === "number" && max !== undefined && value > max)
    return wireError("value_bigger_than_max", `Value ${value} bigger than max of ${max}`, name, about(value));
  if (typeof kind === "string" || type.check !== undefined || kind.includes(value as string))
    return undefined;
  const long = kind.length > 20;
  return wireError(
    "value_not_in_list",
    "Value not in list",
    `${name}: '${pythonText(value)}' not in ${long ? `(list of length ${kind.length})` : pythonList(kind)}`,
    long ? { ...about(value), input_config: null } : about(value),
  );
}

function converted(kind: string | readonly string[], value: unknown): unknown {
  switch (kind) {
    case "INT":
      if (typeof value === "number") return Math.trunc(value);
      if (typeof value === "boolean") return Number(value);
      if (typeof value !== "string")
        throw new Error(
          `int() argument must be a string, a bytes-like object or a real number, not '${pythonType(value)}'`,
        );
      if (!/^\s*[+-]?\d+\s*$/.test(value))
        throw new Error(`invalid literal for int() with base 10: '${value}'`);
      return Number(value);
    case "FLOAT": {
      if (typeof value === "number") return value;
      if (typeof value === "boolean") return Number(value);
      if (typeof value !== "string")
        throw new Error(`float() argument must be a string or a real number, not '${pythonType(value)}'`);
      const number = Number(value);
      if (value.trim() === "" || Number.isNaN(number))
        throw new Error(`could not convert string to float: '${value}'`);
      return number;
    }
    case "STRING":
      return typeof value === "string" ? value : pythonText(value);
    case "BOOLEAN":
      return Boolean(value);
    default:
      return value;
  }
}

const pythonType = (value: unknown): string =>
  value === null ? "NoneType" : Array.isArray(value) ? "list" : typeof value === "object" ? "dict" : "str";
const pythonText = (value: unknown): string =>
  value === null
    ? "None"
    : value === true
      ? "True"
      : value === false
        ? "False"
        : typeof value === "object"
          ? JSON.stringify(value)
          : String(value);
/** As Python writes a list of strings. */
export const pythonList = (values: readonly string[]): string =>
  `[${values.map((value) => `'${value}'`).join(", ")}]`;
