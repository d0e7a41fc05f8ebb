// grpc-js: one answer, a stream of them, an error with its code.
import { Server, ServerCredentials, status } from '@grpc/grpc-js';

const bytes = { serialize: (data) => data, deserialize: (data) => data };
const method = (name, isStream) => ({
  path: `/Echo/${name}`,
  requestStream: isStream,
  responseStream: isStream,
  requestSerialize: bytes.serialize,
  requestDeserialize: bytes.deserialize,
  responseSerialize: bytes.serialize,
  responseDeserialize: bytes.deserialize,
});
const service = { once: method('Once', false), stream: method('Stream', true) };
const server = new Server({ 'grpc.max_receive_message_length': 20 * 2 ** 20 });
server.addService(service, {
  once({ request }, answer) {
    if (request.length > 0) return answer(null, request);
    answer({ code: status.INVALID_ARGUMENT, details: 'nothing to echo' });
  },
  stream(call) {
    call.on('data', (data) => call.write(data)).on('end', () => call.end());
  },
});
await new Promise((resolve, reject) => {
  const done = (error) => (error ? reject(error) : resolve());
  server.bindAsync('0.0.0.0:3010', ServerCredentials.createInsecure(), done);
});
