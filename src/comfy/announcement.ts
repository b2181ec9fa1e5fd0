/**
 * The one thing a client may say on a socket, and only as its first frame: previews shall come with
 * their prompt and node (binary type 4). Answered since 0.3.45, ignored before.
 */
export const announcement = '{"type":"feature_flags","data":{"supports_preview_metadata":true}}';
