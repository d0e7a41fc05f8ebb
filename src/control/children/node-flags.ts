/**
 * V8's limits for inlining, in bytecode (its defaults: 460 and 920), for dataplanes, applications
 * and tests.
 *
 * - The way of a segment is many small functions: an echoed message takes 580 instead of 675 ns of
 *   JavaScript.
 * - A double that a function returns is boxed, 16 bytes, unless the function is inlined: tests that
 *   count bytes need the same.
 */
export const INLINING_FLAGS = [
  '--max-inlined-bytecode-size=1000',
  '--max-inlined-bytecode-size-cumulative=4000',
];

/**
 * The young generation of a dataplane stays small, MiB of each of its three parts (Node's limit:
 * 16). It allocates nothing per message, but what opens 250,000 connections grew it to 51 MiB for
 * good: 200 bytes a connection.
 */
export const DATAPLANE_FLAGS = ['--max-semi-space-size=4'];
