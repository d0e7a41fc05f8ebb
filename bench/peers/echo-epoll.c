/* echo-epoll.c - the competitor "Linux": a TCP echo server as an experienced C programmer writes it.
 *
 * - One thread, non-blocking sockets, level-triggered epoll: one read and one write a message. Edge-triggered
 *   would need a second read per message, to see EAGAIN.
 * - Accepts in batches, TCP_NODELAY on, no allocation per message; what a full send buffer refuses is kept, and
 *   that connection is not read until it has gone.
 * - The kernel's defaults otherwise. Pinned by whoever starts it (taskset).
 *
 * Usage: echo-epoll [--spin] ADDRESS PORT [PORTS]      --spin: polls instead of sleeping in epoll_wait
 *   PORTS: listens on so many in a row (a client address has 64,000 ports; more connections need more of ours);
 *   where the limit of open files cannot be raised, each port gets a process
 * Prints "ready" when it listens. Read first: man 7 epoll.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, BUFFER = 65536, PORTS_MAX = 16, FILES = 1 << 20 };

typedef struct { int fd; uint32_t pending; char *kept; } Connection; /* kept: bytes that write() refused */

static int epoll_fd;
static char buffer[BUFFER];

static void die(const char *what) { perror(what); exit(1); }

static void watch(Connection *c, uint32_t events, int operation) {
  struct epoll_event e = {.events = events, .data.ptr = c};
  if (epoll_ctl(epoll_fd, operation, c->fd, &e) < 0) die("epoll_ctl");
}

static void drop(Connection *c) {
  close(c->fd); /* leaves the epoll set by itself */
  free(c->kept);
  free(c);
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return; /* EAGAIN, or out of descriptors: the backlog keeps it */
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Connection *c = calloc(1, sizeof *c);
    if (!c) die("calloc");
    c->fd = fd;
    watch(c, EPOLLIN, EPOLL_CTL_ADD);
  }
}

/* Keeps what the socket refused, and stops reading until it has gone. */
static void keep(Connection *c, const char *from, uint32_t bytes) {
  if (!c->kept && !(c->kept = malloc(BUFFER))) die("malloc");
  memmove(c->kept, from, bytes);
  if (!c->pending) watch(c, EPOLLOUT, EPOLL_CTL_MOD);
  c->pending = bytes;
}

static void readable(Connection *c) {
  ssize_t got = read(c->fd, buffer, BUFFER);
  if (got <= 0) {
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    drop(c);
    return;
  }
  ssize_t put = write(c->fd, buffer, got);
  if (put == got) return;
  if (put < 0) {
    if (errno != EAGAIN && errno != EINTR) { drop(c); return; }
    put = 0;
  }
  keep(c, buffer + put, got - put);
}

static void writable(Connection *c) {
  ssize_t put = write(c->fd, c->kept, c->pending);
  if (put < 0) {
    if (errno != EAGAIN && errno != EINTR) drop(c);
    return;
  }
  if ((uint32_t)put == c->pending) {
    c->pending = 0;
    watch(c, EPOLLIN, EPOLL_CTL_MOD);
  } else keep(c, c->kept + put, c->pending - put);
}

static int listen_on(const char *address, int port) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  if (inet_pton(AF_INET, address, &name.sin_addr) != 1) die("address");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0) die("bind");
  if (listen(fd, 4096) < 0) die("listen");
  return fd;
}

int main(int argc, char **argv) {
  int spin = argc > 1 && !strcmp(argv[1], "--spin");
  if (argc - spin != 3 && argc - spin != 4) {
    fprintf(stderr, "usage: echo-epoll [--spin] ADDRESS PORT [PORTS]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files = {.rlim_cur = FILES, .rlim_max = FILES};
  int first = atoi(argv[2 + spin]), ports = argc - spin == 4 ? atoi(argv[3 + spin]) : 1;
  if (ports < 1 || ports > PORTS_MAX) ports = 1;
  if (setrlimit(RLIMIT_NOFILE, &files) < 0) { /* not privileged: what we are allowed, a process a port */
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (; ports > 1; ports--)
      if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        first += ports - 1;
        ports = 1;
        break;
      }
  }
  if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1");
  static Connection listeners[PORTS_MAX];
  for (int i = 0; i < ports; i++) {
    listeners[i].fd = listen_on(argv[1 + spin], first + i);
    watch(&listeners[i], EPOLLIN, EPOLL_CTL_ADD);
  }
  puts("ready");
  fflush(stdout);
  static struct epoll_event events[EVENTS];
  for (;;) {
    int n = epoll_wait(epoll_fd, events, EVENTS, spin ? 0 : -1);
    for (int i = 0; i < n; i++) {
      Connection *c = events[i].data.ptr;
      if (c >= listeners && c < listeners + ports) accept_all(c->fd);
      else if (c->pending) writable(c); /* an error or hang-up shows as a failing write */
      else readable(c);
    }
  }
}
