/* hiccups.c - how often this machine takes a core away: reads the clock without a pause, and counts where it jumps.
 *
 * - What a spinning server or client would feel: the kernel's own threads, interrupts, and a hypervisor that runs somebody else.
 * - Gaps of GAP_NS and more count.
 * - Pinned by whoever starts it (taskset).
 *
 * Usage: hiccups MS
 * Prints one JSON object: {"share", "longestNs"}: part of the time that was missing. Compare: jHiccup.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { GAP_NS = 100000 };

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 2) return fprintf(stderr, "usage: hiccups MS\n"), 2;
  int64_t start = now_ns(), end = start + atoi(argv[1]) * 1000000ll, last = start;
  int64_t missing = 0, longest = 0;
  while (last < end) {
    int64_t now = now_ns(), gap = now - last;
    if (gap >= GAP_NS) missing += gap;
    if (gap > longest) longest = gap;
    last = now;
  }
  printf("{\"share\":%.6f,\"longestNs\":%lld}\n", (double)missing / (last - start), (long long)longest);
  return 0;
}
