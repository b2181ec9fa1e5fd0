/** An address without what goes without saying. */
export const bareUrl = (url: string): string => url.replace(/^https?:\/\//, "");
