/**
 * dns.lookup, and all of Node that looks a name up by it, over our resolver instead of
 * getaddrinfo, which a confined process cannot use.
 *
 * - Put in below dns: `getaddrinfo` of Node's own binding. So arguments, options, orders and errors
 *   are Node's. dns.promises has its own way to the binding: there lookup is the other one,
 *   promised.
 * - dns.resolve and its like have sockets of their own (c-ares), which confinement refuses.
 *
 * Called by program.ts. Read first: lib/dns.js of Node; resolver.ts.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import type { NameBinding } from './internals.ts';
import type { Keeper } from './keeper.ts';
import { EAI_AGAIN, type Resolver } from './resolver.ts';
import { calledBack } from './ticks.ts';

/** RFC 4291 2.4: what one would call the Internet; ours are of it, or IPv4 comes first. */
const isGlobal = (address: string): boolean => /^[23][0-9a-f]{3}:/.test(address);

/** `addresses`: ours. */
export function lookUpWith(
  binding: NameBinding,
  resolver: Resolver,
  keeper: Keeper,
  addresses: () => readonly string[],
): void {
  const isIpv6First = (order: number): boolean =>
    order === binding.DNS_ORDER_IPV6_FIRST || (order === 0 && addresses().some(isGlobal));
  binding.getaddrinfo = (request, name, family, _hints, order) => {
    const context = AsyncLocalStorage.snapshot();
    const done = (found: string[] | number): void => {
      keeper.release();
      const ordered = typeof found === 'number' ? [] : inOrder(found, isIpv6First(order));
      calledBack(() =>
        context(() => {
          if (typeof found === 'number') request.oncomplete(found);
          else request.oncomplete(null, ordered);
        }),
      );
    };
    keeper.hold();
    // Out of a promise's job, where what the program throws would be a rejection.
    resolver.lookup(name, family).then(
      (found) => setImmediate(done, found),
      () => setImmediate(done, EAI_AGAIN),
    );
    return 0;
  };
  dns.promises.lookup = promised as typeof dns.promises.lookup;
  syncBuiltinESMExports();
}

type Looked = [error: Error | null, address: string | dns.LookupAddress[], family?: number];

function promised(name: string, options: dns.LookupOptions | number = {}): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  dns.lookup(name, options as dns.LookupOptions, (...[error, address, family]: Looked) => {
    if (error) reject(error);
    else resolve(typeof address === 'string' ? { address, family } : address);
  });
  return promise;
}

/** Each family in the order of its answer. */
function inOrder(found: readonly string[], isIpv6First: boolean): string[] {
  const ipv6 = found.filter((each) => each.includes(':'));
  const ipv4 = found.filter((each) => !each.includes(':'));
  return isIpv6First ? [...ipv6, ...ipv4] : [...ipv4, ...ipv6];
}
