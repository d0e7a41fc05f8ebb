// Fastify: a schema, an echo, keep-alive.
import Fastify from 'fastify';

const fastify = Fastify({ bodyLimit: 20 * 2 ** 20 });
fastify.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_q, body, done) =>
  done(null, body),
);
const schema = { params: { type: 'object', properties: { name: { type: 'string' } } } };
fastify.get('/hello/:name', { schema }, async (request) => ({ hello: request.params.name }));
fastify.post('/echo', async (request, reply) => reply.send(request.body));
fastify.get('/fails', async () => {
  throw new Error('of a handler');
});
await fastify.listen({ port: 3002, host: '0.0.0.0' });
