/**
 * Builds wasm/kernels.wasm from wasm/kernels.wat: `node wasm/build.mjs`. The result is committed,
 * so that nobody needs this to run the system. `--check` writes nothing and fails if the committed
 * bytes are not the built ones.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

const source = new URL('kernels.wat', import.meta.url);
const target = new URL('kernels.wasm', import.meta.url);

// The text, not a Buffer: wabt reads the whole pool that a small Buffer is a part of.
const { parseWat } = await wabt();
const features = { simd: true, threads: true };
const module = parseWat('kernels.wat', readFileSync(source, 'utf8'), features);
module.validate(features);
const bytes = module.toBinary({}).buffer;
if (process.argv.includes('--check')) {
  if (!readFileSync(target).equals(bytes)) {
    console.error('wasm/kernels.wasm is not what kernels.wat builds; run: node wasm/build.mjs');
    process.exitCode = 1;
  }
} else writeFileSync(target, bytes);
