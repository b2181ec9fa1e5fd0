declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** Our name for a task: minted by the tab, known before any server answers, survives everything. */
export type TaskId = Branded<"TaskId">;
/** ComfyUI's name for a prompt: a UUID that we choose, so that it has a route before it is sent. */
export type PromptId = Branded<"PromptId">;
/** One link between a tab and the host. A reloaded tab has a new one. */
export type PortId = Branded<"PortId">;
/** A tab, across reloads. A duplicated tab has its own. */
export type TabId = Branded<"TabId">;
/** A server as the app names it: `ServerOptions.id`, else its normalised address. */
export type ServerId = Branded<"ServerId">;
/** A server as the host keeps it: address and account. Two tabs may call the same one differently. */
export type ServerKey = Branded<"ServerKey">;
/** The `clientId` of a socket: ComfyUI addresses messages to it. */
export type ClientId = Branded<"ClientId">;
/** One life of one host. Every frame to a tab carries it; an unknown epoch means a new host. */
export type Epoch = Branded<"Epoch">;
