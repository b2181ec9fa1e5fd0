/** Vite bundles the worker, and gives its address. */
declare module "*?worker&url" {
  const url: string;
  export default url;
}
