// http2, in clear and over TLS.
import http2 from 'node:http2';

// A body of 10 MB, written at once, is more than a session may hold by default.
const maxSessionMemory = 64;

function onStream(stream, headers) {
  stream.on('error', () => {});
  if (headers[':path'] === '/echo') {
    stream.respond({ ':status': 200 });
    return void stream.pipe(stream);
  }
  if (headers[':path'] === '/resets') return stream.close(http2.constants.NGHTTP2_CANCEL);
  stream.respond({ ':status': 200, 'content-type': 'application/json' });
  stream.end(JSON.stringify({ hello: headers[':path'].split('/').at(-1) }));
}

http2.createServer({ maxSessionMemory }).on('stream', onStream).listen(3006);
const { KEY: key, CERTIFICATE: cert } = process.env;
http2.createSecureServer({ key, cert, maxSessionMemory }).on('stream', onStream).listen(3007);
