/** Tells the flood server what to send. @param {string} server its origin */
export async function connectOrders(server) {
  const socket = new WebSocket(`${server.replace(/^http/, "ws")}/orders`);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error("The flood server takes no orders"));
  });
  let lastId = 0;
  const waiting = new Map();
  socket.onmessage = ({ data }) => {
    const { id, error, ...body } = JSON.parse(data);
    if (error) waiting.get(id)?.reject(new Error(error));
    else waiting.get(id)?.resolve(body);
    waiting.delete(id);
  };
  const send = (order) => socket.send(JSON.stringify(order));
  const ask = (order) => {
    lastId += 1;
    const answer = Promise.withResolvers();
    waiting.set(lastId, answer);
    send({ ...order, id: lastId });
    return answer.promise;
  };

  return {
    send,

    /** Has it prepared, then begun. @returns the time of the order to begin */
    async begin(order) {
      await ask(order);
      const began = performance.now();
      send({ do: "go", promptId: order.promptId });
      return began;
    },

    /**
     * What to add to this page's clock to have the server's. Both count the same machine's monotonic time, so
     * the browser's own word (`navigationStartMs`) is exact, and every exchange bounds it from both sides.
     * Where it lies outside, the clocks are not the same, and the middle of the bounds has to do.
     */
    async clock(navigationStartMs) {
      let lowest = Number.NEGATIVE_INFINITY;
      let highest = Number.POSITIVE_INFINITY;
      for (let n = 0; n < 50; n += 1) {
        const asked = performance.now();
        const { at } = await ask({ do: "clock" });
        lowest = Math.max(lowest, at - performance.now());
        highest = Math.min(highest, at - asked);
      }
      const agrees = lowest <= navigationStartMs && navigationStartMs <= highest;
      return agrees ? navigationStartMs : (lowest + highest) / 2;
    },
  };
}
