// One process that serves all of servers/, and runs a client of clients/ or caches/ when it is asked
// to: GET /clients/NAME?host=HOST answers "ok", or what went wrong.
import http from 'node:http';
import './servers.mjs';

http
  .createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://here');
    try {
      const { ask } = await import(`.${pathname}.mjs`);
      await ask(searchParams.get('host'));
      response.end('ok');
    } catch (error) {
      response.end(`${error.stack}\n${error.cause?.stack ?? ''}`);
    }
  })
  .listen(3000, () => console.error('up'));
