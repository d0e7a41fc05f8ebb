// All of servers/ in one process.
import { readdirSync } from 'node:fs';

const names = readdirSync(new URL('./servers', import.meta.url)).sort();
for (const name of names) await import(`./servers/${name}`);
