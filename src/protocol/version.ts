/** The version of what is said on a port. Another major version lives in a host of another name. */
export const protocolVersion = { major: 1, minor: 1 } as const;
