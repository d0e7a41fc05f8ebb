// Asks servers/fastify.mjs.
import { framework } from '../framework.mjs';

export const ask = (host) => framework(`http://${host}:3002`);
