import type { AnyComfyTabsError } from "../client/index.ts";

/** An error, told to a person: what happened, the particulars, and the machine's own words for those who want them. */
export interface Failure {
  readonly title: string;
  readonly sentence: string;
  readonly particulars: readonly string[];
  readonly trace: string | undefined;
}

/** Plain words for an error. Its own message stands where nothing better can be said. */
export function failureOf(error: AnyComfyTabsError): Failure {
  const plain = { title: "It did not work", sentence: error.message, particulars: [], trace: undefined };
  switch (error.code) {
    case "node-failed": {
      const { nodeId, nodeType, exceptionType, exceptionMessage, traceback } = error.details;
      return {
        title: `${nodeType} failed`,
        sentence: exceptionMessage.trim() || "The node raised an exception without a message.",
        particulars: [`Node ${nodeId} · ${exceptionType}`],
        trace: traceback.join("").trim() || undefined,
      };
    }
    case "workflow-rejected": {
      const { error: refusal, nodeErrors } = error.details;
      const findings = Object.entries(nodeErrors).flatMap(([nodeId, node]) =>
        node.errors.map(
          ({ message, details }) =>
            `${node.classType}, node ${nodeId}: ${message}${details ? ` (${details})` : ""}`,
        ),
      );
      return {
        title: "The server refused this workflow",
        sentence: findings.length > 0 ? "ComfyUI checked it before running it, and found:" : refusal.message,
        particulars: findings,
        trace: undefined,
      };
    }
    case "workflow-format":
      return { ...plain, title: "This is not an API workflow" };
    case "workflow-invalid":
      return { ...plain, title: "This workflow would not run", particulars: [`At ${error.details.path}`] };
    case "server-unreachable":
      return { ...plain, title: "The server does not answer" };
    case "cross-origin-blocked":
    case "origin-refused":
      return {
        ...plain,
        title: "The server does not let this page in",
        particulars: [`Start ComfyUI with --enable-cors-header ${location.origin}`],
      };
    case "host-lost":
      return { ...plain, title: "The worker has gone" };
    case "timeout":
      return { ...plain, title: "That took too long" };
    default:
      return plain;
  }
}
