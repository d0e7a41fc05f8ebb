/* echo-lwip.c - the competitor "lwIP": the user-level stack that IX itself started from, as an echo server at the end
 * of a cable (src/nic/cable.ts), where our own dataplane would be.
 *
 * - Side 0 of the cable: frames come in by the ring that side 1 fills, go out by the ring that side 0 fills; 2048-byte
 *   slots, length in the first word, the frame 16 bytes on; indexes published once a batch of at most 64 frames.
 * - lwIP's raw API: one thread, run to completion, no sockets, no Nagle; an echo is one tcp_write with a copy.
 * - Debian's liblwip (2.1.3, MSS 1460, 64 KiB windows, libc's malloc). Its lock around each allocation is replaced by
 *   nothing, which one thread does not need: to lwIP's advantage.
 * - It polls and never sleeps, and so never looks at the cable's sleeping flags; its client must poll too.
 *
 * Usage: echo-lwip MEMORY_PATH ENTRIES ADDRESS PORT     Prints "ready" when it listens.
 * Read first: src/arena/ring.ts (the layout); lwIP's doc/rawapi.txt.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

enum {
  BATCH = 64,
  FLAGS_BYTES = 4096,
  SLOT_BYTES = 2048,
  SLOT_FRAME = 16,
  FRAME_MAX = SLOT_BYTES - SLOT_FRAME,
  CONSUMER_WORD = 16, /* the producer's index is word 0 */
  RECORD_WORD = 32,
};

typedef struct { uint32_t *words, mask, index, other, fresh; } Ring;

static Ring rx, tx;

sys_prot_t sys_arch_protect(void) { return 0; }
void sys_arch_unprotect(sys_prot_t p) { (void)p; }

static void die(const char *what) { perror(what); exit(1); }

static uint8_t *slot_of(Ring *ring, uint32_t index) {
  return (uint8_t *)(ring->words + RECORD_WORD) + (size_t)(index & ring->mask) * SLOT_BYTES;
}

/* Full: the frame is dropped, as a NIC would. */
static err_t transmit(struct netif *netif, struct pbuf *p) {
  (void)netif;
  if (p->tot_len > FRAME_MAX) return ERR_BUF;
  uint32_t at = tx.index + tx.fresh;
  if (at - tx.other > tx.mask) {
    tx.other = __atomic_load_n(tx.words + CONSUMER_WORD, __ATOMIC_ACQUIRE);
    if (at - tx.other > tx.mask) return ERR_BUF;
  }
  uint8_t *slot = slot_of(&tx, at);
  *(uint32_t *)slot = p->tot_len;
  uint8_t *to = slot + SLOT_FRAME;
  for (struct pbuf *q = p; q; q = q->next) {
    memcpy(to, q->payload, q->len);
    to += q->len;
  }
  tx.fresh++;
  return ERR_OK;
}

static err_t link_up(struct netif *netif) {
  static const uint8_t mac[6] = {2, 0x69, 0x78, 0, 0, 1};
  memcpy(netif->hwaddr, mac, 6);
  netif->hwaddr_len = 6;
  netif->mtu = 1500;
  netif->name[0] = 'i', netif->name[1] = 'x';
  netif->flags |= NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
  netif->output = etharp_output;
  netif->linkoutput = transmit;
  return ERR_OK;
}

/* A send buffer without room refuses the data: lwIP keeps it and offers it again. */
static err_t received(void *argument, struct tcp_pcb *pcb, struct pbuf *p, err_t error) {
  (void)argument, (void)error;
  if (!p) return tcp_close(pcb);
  if (tcp_sndbuf(pcb) < p->tot_len) return ERR_MEM;
  for (struct pbuf *q = p; q; q = q->next)
    if (tcp_write(pcb, q->payload, q->len, TCP_WRITE_FLAG_COPY) != ERR_OK) {
      tcp_abort(pcb);
      pbuf_free(p);
      return ERR_ABRT;
    }
  tcp_recved(pcb, p->tot_len);
  pbuf_free(p);
  return ERR_OK;
}

static err_t accepted(void *argument, struct tcp_pcb *pcb, err_t error) {
  (void)argument;
  if (error != ERR_OK) return error;
  tcp_nagle_disable(pcb);
  tcp_recv(pcb, received);
  return ERR_OK;
}

static void poll_once(struct netif *netif) {
  uint32_t ready = __atomic_load_n(rx.words, __ATOMIC_ACQUIRE) - rx.index;
  if (ready > BATCH) ready = BATCH;
  for (uint32_t i = 0; i < ready; i++) {
    uint8_t *slot = slot_of(&rx, rx.index + i);
    uint32_t length = *(uint32_t *)slot;
    if (length < 14 || length > FRAME_MAX) continue;
    struct pbuf *p = pbuf_alloc(PBUF_RAW, length, PBUF_RAM);
    if (!p) continue;
    memcpy(p->payload, slot + SLOT_FRAME, length);
    if (ethernet_input(p, netif) != ERR_OK) pbuf_free(p);
  }
  if (ready) {
    rx.index += ready;
    __atomic_store_n(rx.words + CONSUMER_WORD, rx.index, __ATOMIC_RELEASE);
  }
  if (!tx.fresh) return;
  tx.index += tx.fresh;
  tx.fresh = 0;
  __atomic_store_n(tx.words, tx.index, __ATOMIC_RELEASE);
}

static void attach(const char *path, uint32_t entries) {
  size_t ring_bytes = (RECORD_WORD + (size_t)entries * SLOT_BYTES / 4) * 4;
  int fd = open(path, O_RDWR);
  if (fd < 0) die(path);
  uint8_t *base = mmap(0, FLAGS_BYTES + 2 * ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) die("mmap");
  tx.words = (uint32_t *)(base + FLAGS_BYTES);
  rx.words = (uint32_t *)(base + FLAGS_BYTES + ring_bytes);
  tx.mask = rx.mask = entries - 1;
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: echo-lwip MEMORY_PATH ENTRIES ADDRESS PORT\n");
    return 2;
  }
  attach(argv[1], atoi(argv[2]));
  ip4_addr_t address, netmask, gateway = {0};
  if (!ip4addr_aton(argv[3], &address)) return fprintf(stderr, "bad address\n"), 2;
  ip4addr_aton("255.255.255.0", &netmask);
  lwip_init();
  struct netif netif = {0};
  if (!netif_add(&netif, &address, &netmask, &gateway, 0, link_up, ethernet_input)) die("netif_add");
  netif_set_default(&netif);
  netif_set_up(&netif);
  struct tcp_pcb *listener = tcp_new();
  if (tcp_bind(listener, IP_ADDR_ANY, atoi(argv[4])) != ERR_OK) return fprintf(stderr, "bind\n"), 1;
  listener = tcp_listen_with_backlog(listener, 255);
  tcp_accept(listener, accepted);
  puts("ready");
  fflush(stdout);
  for (uint32_t turns = 0;; turns++) {
    poll_once(&netif);
    if ((turns & 63) == 0) sys_check_timeouts();
  }
}
