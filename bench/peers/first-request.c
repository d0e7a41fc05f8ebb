/* first-request.c - how long the first request after a silence takes, over kernel TCP: one connection to an echo server.
 *
 * - Each silence is given in milliseconds; then 64 bytes go out and the clock runs until all of them are back.
 * - It sleeps in every wait, so that no core is taken from the server; its own wake-up is part of what is measured. (A
 *   client that polls is worse: a server that the kernel wakes on the client's core waits for the end of its slice, 4 ms.)
 * - With each answer it says how late the machine itself is: the worst of its own waking from the silence and of LATE_SLEEPS
 *   sleeps of a millisecond behind the answer. (None before: they would wake a core that the request should find asleep.)
 *
 * Usage: first-request HOST PORT SILENCE_MS...
 * Prints one JSON array of {"answerNs", "lateNs"}, one a silence. Exit code 1 when there is no answer within a second.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { BYTES = 64, LATE_SECONDS = 1, LATE_SLEEPS = 50 };

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int64_t round_trip(int fd) {
  char message[BYTES], answer[BYTES];
  memset(message, 'x', BYTES);
  int64_t start = now_ns();
  if (send(fd, message, BYTES, 0) != BYTES) return -1;
  for (int got = 0; got < BYTES;) {
    ssize_t r = recv(fd, answer + got, BYTES - got, 0);
    if (r <= 0) return -1;
    got += r;
  }
  return now_ns() - start;
}

/* Sleeps; by how much too long. */
static int64_t oversleep(int ms) {
  int64_t start = now_ns();
  usleep(ms * 1000);
  return now_ns() - start - ms * 1000000ll;
}

int main(int argc, char **argv) {
  if (argc < 4) return fprintf(stderr, "usage: first-request HOST PORT SILENCE_MS...\n"), 2;
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
  struct timeval late = {.tv_sec = LATE_SECONDS};
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  inet_pton(AF_INET, argv[1], &name.sin_addr);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &late, sizeof late);
  if (connect(fd, (struct sockaddr *)&name, sizeof name) < 0) return perror("connect"), 1;
  if (round_trip(fd) < 0) return fprintf(stderr, "no answer\n"), 1;
  printf("[");
  for (int i = 3; i < argc; i++) {
    int64_t late = oversleep(atoi(argv[i]));
    int64_t ns = round_trip(fd);
    if (ns < 0) return fprintf(stderr, "no answer after %s ms\n", argv[i]), 1;
    for (int k = 0; k < LATE_SLEEPS; k++) {
      int64_t again = oversleep(1);
      if (again > late) late = again;
    }
    printf("%s{\"answerNs\":%lld,\"lateNs\":%lld}", i > 3 ? "," : "", (long long)ns, (long long)late);
  }
  printf("]\n");
  return 0;
}
