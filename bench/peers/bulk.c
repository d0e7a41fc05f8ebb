/* bulk.c - sends or receives a long stream over kernel TCP and says how fast and what its checksum was.
 *
 * - The stream is xorshift32 words (13, 17, 5; little-endian) that start from `seed`: the other side can make or
 *   check the same bytes. Seed 0 sends zeros, and expects nothing.
 * - `send` ends its direction with FIN and then waits for the peer's FIN, so `seconds` includes delivery.
 *   `recv` reads up to `bytes`, or to FIN when `bytes` is 0.
 * - Fails (exit code 1) when the stream is short, stalls for 30 s, or is not what the seed makes.
 *
 * Usage: bulk [-l] send|recv HOST PORT BYTES SEED      -l: listen there and take one connection
 * Prints {"bytes", "seconds", "crc"}: crc is CRC-32 (zlib's) of the bytes in order, eight hexadecimal digits.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 65536, STALL_SECONDS = 30 };

static uint32_t table[8][256];

/* CRC-32 by slices of eight bytes (Kounavis and Berry, 2005): about eight times a bytewise table. */
static void crc_prepare(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = c & 1 ? (c >> 1) ^ 0xedb88320u : c >> 1;
    table[0][i] = c;
  }
  for (int t = 1; t < 8; t++)
    for (int i = 0; i < 256; i++) table[t][i] = (table[t - 1][i] >> 8) ^ table[0][table[t - 1][i] & 255];
}

static uint32_t crc_of(uint32_t crc, const uint8_t *p, size_t n) {
  for (; n >= 8; n -= 8, p += 8) {
    uint32_t a, b;
    memcpy(&a, p, 4);
    memcpy(&b, p + 4, 4);
    a ^= crc;
    crc = table[7][a & 255] ^ table[6][a >> 8 & 255] ^ table[5][a >> 16 & 255] ^ table[4][a >> 24] ^
          table[3][b & 255] ^ table[2][b >> 8 & 255] ^ table[1][b >> 16 & 255] ^ table[0][b >> 24];
  }
  while (n--) crc = (crc >> 8) ^ table[0][(crc ^ *p++) & 255];
  return crc;
}

/* The next CHUNK bytes of the stream. */
static void fill(uint8_t *p, uint32_t *state) {
  uint32_t x = *state;
  for (int i = 0; i < CHUNK; i += 4) {
    x ^= x << 13, x ^= x >> 17, x ^= x << 5;
    memcpy(p + i, &x, 4);
  }
  *state = x;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what) { perror(what); exit(1); }

static int connection(int listening, const char *host, int port) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct timeval stall = {.tv_sec = STALL_SECONDS};
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  if (inet_pton(AF_INET, host, &name.sin_addr) != 1) die("host: an IPv4 address is needed");
  if (listening) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 1) < 0) die("listen");
    fprintf(stderr, "ready\n");
    int one = accept(fd, 0, 0);
    if (one < 0) die("accept");
    close(fd);
    fd = one;
  } else if (connect(fd, (struct sockaddr *)&name, sizeof name) < 0) die("connect");
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof stall);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof stall);
  return fd;
}

static uint8_t chunk[CHUNK], want[CHUNK];

static uint64_t send_all(int fd, uint64_t bytes, uint32_t seed, uint32_t *crc) {
  uint64_t done = 0;
  while (done < bytes) {
    size_t n = bytes - done < CHUNK ? bytes - done : CHUNK;
    if (seed) fill(chunk, &seed);
    *crc = crc_of(*crc, chunk, n);
    for (size_t put = 0; put < n;) {
      ssize_t r = write(fd, chunk + put, n - put);
      if (r <= 0) die("write");
      put += r;
    }
    done += n;
  }
  shutdown(fd, SHUT_WR);
  ssize_t r;
  while ((r = read(fd, chunk, CHUNK)) > 0) {}
  if (r < 0) die("waiting for the peer's FIN");
  return done;
}

static uint64_t receive_all(int fd, uint64_t bytes, uint32_t seed, uint32_t *crc) {
  uint64_t done = 0;
  while (!bytes || done < bytes) {
    size_t at = done % CHUNK, room = CHUNK - at;
    if (at == 0 && seed) fill(want, &seed);
    ssize_t r = read(fd, chunk, bytes && bytes - done < room ? bytes - done : room);
    if (r < 0) die("read");
    if (r == 0) break;
    if (seed && memcmp(chunk, want + at, r)) {
      fprintf(stderr, "bulk: the stream differs from its seed's near byte %llu\n", (unsigned long long)done);
      exit(1);
    }
    *crc = crc_of(*crc, chunk, r);
    done += r;
  }
  return done;
}

int main(int argc, char **argv) {
  int listening = argc > 1 && !strcmp(argv[1], "-l");
  char **a = argv + listening;
  int sending = argc - listening == 6 && !strcmp(a[1], "send");
  if (argc - listening != 6 || (!sending && strcmp(a[1], "recv"))) {
    fprintf(stderr, "usage: bulk [-l] send|recv HOST PORT BYTES SEED\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  crc_prepare();
  uint64_t bytes = strtoull(a[4], 0, 10);
  uint32_t seed = strtoul(a[5], 0, 10), crc = 0xffffffffu;
  int fd = connection(listening, a[2], atoi(a[3]));
  double start = now();
  uint64_t done = (sending ? send_all : receive_all)(fd, bytes, seed, &crc);
  double seconds = now() - start;
  close(fd);
  printf("{\"bytes\":%llu,\"seconds\":%.6f,\"crc\":\"%08x\"}\n", (unsigned long long)done, seconds, ~crc);
  return bytes && done != bytes;
}
