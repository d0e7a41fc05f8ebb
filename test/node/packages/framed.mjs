// What toy servers share: bytes of a socket, whole messages at a time, copied once.

/**
 * Calls `took(bytes)` with everything that has come when that is enough for it: it answers the
 * bytes that it has used, and how many it must have to go on.
 */
export function framed(socket, took) {
  let pieces = [];
  let length = 0;
  let needed = 1;
  const onData = (piece) => {
    pieces.push(piece);
    length += piece.length;
    if (length < needed) return;
    const bytes = Buffer.concat(pieces);
    const [used, more] = took(bytes);
    pieces = [bytes.subarray(used)];
    length -= used;
    needed = Math.max(more, length + 1);
  };
  socket.on('error', () => {});
  socket.on('data', onData);
  return () => socket.off('data', onData);
}
