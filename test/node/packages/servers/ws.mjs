// ws: echoes each message, and tells everybody when asked to.
import { WebSocketServer } from 'ws';

const wss = new WebSocketServer({ port: 3008, perMessageDeflate: true, maxPayload: 20 * 2 ** 20 });
wss.on('connection', (ws) => {
  ws.on('error', () => {});
  ws.on('message', (data, isBinary) => {
    if (String(data.subarray(0, 4)) !== 'all:') return ws.send(data, { binary: isBinary });
    for (const client of wss.clients) client.send(data, { binary: isBinary });
  });
});
