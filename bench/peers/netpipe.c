/* netpipe.c - NetPIPE's exchange over kernel TCP: one connection, messages of one size to and fro, for many sizes.
 *
 * - A message begins with its length (four bytes, little-endian). The server answers a message with one of the same
 *   length when it has all of it; the client measures MS milliseconds of round trips per size after a few unmeasured.
 * - Blocking sockets and TCP_NODELAY, as NetPIPE's TCP module; the kernel's defaults otherwise.
 * - `--link IFNAME ADDRESS` puts the client into a network namespace of its own, says its process number, and waits for
 *   somebody to move that link into it: two ends of one kernel would talk over the loopback otherwise.
 *
 * Usage: netpipe serve ADDRESS PORT                                 prints "ready" when it listens
 *        netpipe measure [--link IFNAME ADDRESS] HOST PORT MS SIZE...
 * Prints one JSON array of {"size", "rttNs" (median), "exchanges"}. Read first: Snell et al., "NetPIPE" (1996).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE_MAX_BYTES = 4 << 20, UNMEASURED = 20, WARM_MS = 400, SAMPLES_MAX = 1 << 20, LINK_WAIT_US = 5000000 };

static uint8_t message[SIZE_MAX_BYTES];
static int64_t samples[SAMPLES_MAX];

static void die(const char *what) { perror(what); exit(1); }

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int take(int fd, uint32_t from, uint32_t to) {
  while (from < to) {
    ssize_t got = read(fd, message + from, to - from);
    if (got <= 0) return 0;
    from += got;
  }
  return 1;
}

static int give(int fd, uint32_t bytes) {
  for (uint32_t done = 0; done < bytes;) {
    ssize_t put = write(fd, message + done, bytes - done);
    if (put <= 0) return 0;
    done += put;
  }
  return 1;
}

static uint32_t length_of(void) {
  uint32_t length;
  memcpy(&length, message, 4);
  return length;
}

/* One message: the length first, because it says how much more there is; both mostly in one read. */
static int take_message(int fd) {
  ssize_t got = read(fd, message, SIZE_MAX_BYTES);
  if (got <= 0 || (got < 4 && !take(fd, got, 4))) return 0;
  if (got < 4) got = 4;
  return length_of() <= SIZE_MAX_BYTES && take(fd, got, length_of());
}

static void quick(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static struct sockaddr_in name_of(const char *host, int port) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, host, &name.sin_addr) != 1) die("address");
  return name;
}

static void serve(const char *address, int port) {
  struct sockaddr_in name = name_of(address, port);
  int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&name, sizeof name) < 0) die("bind");
  if (listen(listener, 16) < 0) die("listen");
  puts("ready");
  fflush(stdout);
  for (;;) {
    int fd = accept(listener, 0, 0);
    if (fd < 0) continue;
    quick(fd);
    while (take_message(fd) && give(fd, length_of())) {}
    close(fd);
  }
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static void exchange(int fd, uint32_t size) {
  memcpy(message, &size, 4);
  if (!give(fd, size) || !take(fd, 0, size)) die("exchange");
  if (length_of() != size) exit((fprintf(stderr, "the answer is not what was sent\n"), 1));
}

static void measure(int fd, uint32_t size, int64_t limit_ns, int is_first) {
  int64_t start = now_ns();
  while (is_first && now_ns() - start < WARM_MS * 1000000ll) exchange(fd, size);
  for (int i = 0; i < UNMEASURED; i++) exchange(fd, size);
  int count = 0;
  int64_t before = start = now_ns();
  while (count < SAMPLES_MAX && (before - start < limit_ns || count < 3)) {
    exchange(fd, size);
    int64_t after = now_ns();
    samples[count++] = after - before;
    before = after;
  }
  qsort(samples, count, sizeof *samples, by_value);
  printf("%s{\"size\":%u,\"rttNs\":%lld,\"exchanges\":%d}", is_first ? "" : ",", size,
         (long long)samples[count / 2], count);
}

static void own_namespace(const char *ifname, const char *address) {
  if (unshare(CLONE_NEWNET) < 0) die("unshare");
  fprintf(stderr, "pid %d\n", getpid());
  for (int waited = 0; !if_nametoindex(ifname); waited += 1000) {
    if (waited > LINK_WAIT_US) exit((fprintf(stderr, "no link %s\n", ifname), 1));
    usleep(1000);
  }
  struct ifreq request = {0};
  struct sockaddr_in own = name_of(address, 0), mask = name_of("255.255.255.0", 0);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  snprintf(request.ifr_name, IFNAMSIZ, "%s", ifname);
  memcpy(&request.ifr_addr, &own, sizeof own);
  if (ioctl(fd, SIOCSIFADDR, &request) < 0) die("address");
  memcpy(&request.ifr_netmask, &mask, sizeof mask);
  if (ioctl(fd, SIOCSIFNETMASK, &request) < 0) die("netmask");
  request.ifr_flags = IFF_UP;
  if (ioctl(fd, SIOCSIFFLAGS, &request) < 0) die("up");
  close(fd);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc == 4 && !strcmp(argv[1], "serve")) serve(argv[2], atoi(argv[3]));
  int linked = argc > 4 && !strcmp(argv[2], "--link");
  char **a = argv + (linked ? 4 : 1);
  if (argc < 2 || strcmp(argv[1], "measure") || argc - (a - argv) < 5) {
    fprintf(stderr, "usage: netpipe serve ADDRESS PORT | measure [--link IFNAME ADDRESS] HOST PORT MS SIZE...\n");
    return 2;
  }
  if (linked) own_namespace(argv[3], argv[4]);
  struct sockaddr_in name = name_of(a[1], atoi(a[2]));
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&name, sizeof name) < 0) die("connect");
  quick(fd);
  printf("[");
  for (int i = 4; a[i]; i++) measure(fd, strtoul(a[i], 0, 10), atoll(a[3]) * 1000000, i == 4);
  puts("]");
  return 0;
}
