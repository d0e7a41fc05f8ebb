/* context-switch.c - what it costs on this core to switch to another process and back: two processes, one byte to and fro.
 *
 * - Both are pinned to CPU, so that every hand-over is one context switch: the writer goes on until it reads, sleeps there,
 *   and the kernel runs the other one. Pipes, as lmbench's lat_ctx; half a round trip is one switch with its read and write.
 * - Nothing else is touched, so caches stay warm: a switch between programs that work costs more.
 * - The median of BATCHES batches: whatever else ran on the core spoils some of them.
 *
 * Usage: context-switch CPU MS
 * Prints one JSON object: {"switchNs", "switches"}. Read first: McVoy and Staelin, "lmbench" (1996), 6.6.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { ROUND_TRIPS = 200, BATCHES_MAX = 1 << 16, UNMEASURED = 20 };

static double samples[BATCHES_MAX];

static void die(const char *what) { perror(what); exit(1); }

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) < 0) die("sched_setaffinity");
}

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "usage: context-switch CPU MS\n"), 2;
  int there[2], back[2];
  char byte = 0;
  if (pipe(there) < 0 || pipe(back) < 0) die("pipe");
  pin(atoi(argv[1]));
  pid_t other = fork();
  if (other < 0) die("fork");
  if (other == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1);
    _exit(0);
  }
  int64_t end = now_ns() + atoi(argv[2]) * 1000000ll;
  int count = 0;
  for (int batch = -UNMEASURED; count < BATCHES_MAX && (batch < 0 || now_ns() < end); batch++) {
    int64_t start = now_ns();
    for (int i = 0; i < ROUND_TRIPS; i++) {
      if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) die("pipe");
    }
    if (batch >= 0) samples[count++] = (double)(now_ns() - start) / (2 * ROUND_TRIPS);
  }
  kill(other, SIGKILL);
  if (count == 0) return fprintf(stderr, "no time to measure\n"), 1;
  qsort(samples, count, sizeof *samples, compare);
  printf("{\"switchNs\":%.1f,\"switches\":%d}\n", samples[count / 2], count * 2 * ROUND_TRIPS);
  return 0;
}
