import type { TabId } from "../protocol/ids.ts";
import { appName, identityLock } from "../protocol/names.ts";

export interface TabProbeMeans {
  /** The worker's (`self.name`). */
  readonly name: string;
  readonly isLockFree: ((name: string) => Promise<boolean>) | undefined;
  readonly openChannel: ((name: string) => BroadcastChannel) | undefined;
}

/** As long as pages wait for each other's answer. */
const askMs = 500;

/** Whether a page says that it is this tab: by its lock, or where there are none by objecting to whoever asks for it. */
export async function isTabThere(
  { name, isLockFree, openChannel }: TabProbeMeans,
  tabId: string,
): Promise<boolean> {
  const identity = identityLock(appName(name), tabId as TabId);
  if (isLockFree) return !(await isLockFree(identity).catch(() => true));
  return openChannel !== undefined && objects(openChannel(identity));
}

function objects(channel: BroadcastChannel): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (there: boolean): void => {
      clearTimeout(timer);
      channel.close();
      resolve(there);
    };
    const timer = setTimeout(() => end(false), askMs);
    channel.onmessage = ({ data }: MessageEvent<number>) => {
      if (data === 0) end(true);
    };
    // A turn that is after everybody's: nobody takes it for an objection.
    channel.postMessage(1);
  });
}
