/* first-request.c - how long the first request after a silence takes, over kernel TCP: one connection to an echo server.
 *
 * - Each silence is given in milliseconds; then 64 bytes go out and the clock runs until all of them are back.
 * - Busy-waits the last 2 ms before a request, so that its own wake-up from sleep is not measured; reads without blocking.
 *
 * Usage: first-request HOST PORT SILENCE_MS...
 * Prints one JSON array: nanoseconds, one a silence. Exit code 1 when there is no answer within a second.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BYTES = 64, LATE_NS = 1000000000, AWAKE_MS = 2 };

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void be_silent(int ms) {
  int64_t end = now_ns() + ms * 1000000ll;
  if (ms > AWAKE_MS) usleep((ms - AWAKE_MS) * 1000);
  while (now_ns() < end) {}
}

static int64_t round_trip(int fd) {
  char message[BYTES], answer[BYTES];
  memset(message, 'x', BYTES);
  int64_t start = now_ns();
  if (send(fd, message, BYTES, 0) != BYTES) return -1;
  for (int got = 0; got < BYTES;) {
    ssize_t r = recv(fd, answer + got, BYTES - got, MSG_DONTWAIT);
    if (r > 0) got += r;
    else if (r == 0 || errno != EAGAIN || now_ns() - start > LATE_NS) return -1;
  }
  return now_ns() - start;
}

int main(int argc, char **argv) {
  if (argc < 4) return fprintf(stderr, "usage: first-request HOST PORT SILENCE_MS...\n"), 2;
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  inet_pton(AF_INET, argv[1], &name.sin_addr);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, (struct sockaddr *)&name, sizeof name) < 0) return perror("connect"), 1;
  if (round_trip(fd) < 0) return fprintf(stderr, "no answer\n"), 1;
  printf("[");
  for (int i = 3; i < argc; i++) {
    be_silent(atoi(argv[i]));
    int64_t ns = round_trip(fd);
    if (ns < 0) return fprintf(stderr, "no answer after %s ms\n", argv[i]), 1;
    printf("%s%lld", i > 3 ? "," : "", (long long)ns);
  }
  printf("]\n");
  return 0;
}
