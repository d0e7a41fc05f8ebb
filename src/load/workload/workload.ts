/**
 * The workloads: what keys and values look like, how often a key is written, how requests arrive.
 *
 * - A workload is a set of defaults: every option given by name replaces that part of it.
 * - `etc` and `usr` are mutilate's models of two of Facebook's memcached pools (Atikoglu et al.,
 *   SIGMETRICS 2012), as the IX paper used them (OSDI'14 section 5.5). `fixed` is mutilate's
 *   default: 30-byte keys, 200-byte values.
 */
export const WORKLOADS = {
  etc: { keySize: 'fb_key', valueSize: 'fb_value', arrival: 'pareto', update: '0.033' },
  usr: { keySize: '19', valueSize: '2', arrival: 'poisson', update: '0.002' },
  fixed: { keySize: '30', valueSize: '200', arrival: 'poisson', update: '0' },
} as const;

export type WorkloadName = keyof typeof WORKLOADS;

/**
 * Shape of ETC's gaps between requests, generalized Pareto (0, 16.0292, 0.154971); the scale goes
 * with the rate.
 */
export const ETC_GAP_SHAPE = 0.154971;

/** memcached's limit. */
export const KEY_BYTES_MAX = 250;
/** Below memcached's item limit of 1 MiB with key and header. */
export const VALUE_BYTES_MAX = 1_000_000;
