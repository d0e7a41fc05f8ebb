// Express: a greeting, an echo, a router's parameter, an error.
import express from 'express';

const app = express();
app.get('/hello/:name', (request, response) => response.json({ hello: request.params.name }));
app.post('/echo', express.raw({ limit: '20mb', type: '*/*' }), (request, response) => {
  response.type('application/octet-stream').send(request.body);
});
app.get('/fails', () => {
  throw new Error('of a handler');
});
app.use((error, _request, response, _next) => {
  response.status(500).send(error.message);
});
app.listen(3001);
