/**
 * echo on `ports` ports in a row: one client address has 64,000 ports, 250,000 connections need
 * several server ports.
 */
import echo from '../../src/apps/echo.ts';
import type { Application } from '../../src/libix/index.ts';

const ports: Application = async (ix, options) => {
  const { ports: count = '1', port: first = '7', ...others } = options;
  for (let i = 0; i < Number(count); i++) {
    await echo(ix, { ...others, port: String(Number(first) + i) });
  }
};

export default ports;
