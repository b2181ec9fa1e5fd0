/** The `BroadcastChannel`s of one origin, without a thread of their own that would keep the tests alive. */
export function createChannels() {
  const listening = new Set<{ readonly name: string; onmessage: BroadcastChannel["onmessage"] }>();
  return {
    listening,
    open(name: string): BroadcastChannel {
      const channel = {
        name,
        onmessage: null as BroadcastChannel["onmessage"],
        postMessage(data: unknown) {
          for (const other of listening)
            if (other !== channel && other.name === name)
              queueMicrotask(() => other.onmessage?.call(channel as never, { data } as MessageEvent));
        },
        close: () => listening.delete(channel),
      };
      listening.add(channel);
      return channel as unknown as BroadcastChannel;
    },
  };
}
