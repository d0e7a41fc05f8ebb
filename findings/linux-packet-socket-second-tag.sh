#!/usr/bin/env bash
# Linux (seen on 6.18.44), packet sockets (man 7 packet), MTU 1500; needs root for a network namespace of its own.
#
# How long may a tagged frame be that a program hands to a packet socket? With an 802.1Q tag (type 0x8100) four bytes more
# than the MTU and its header are taken: 1,518. The same frame with an 802.1ad tag (type 0x88a8) is refused with EMSGSIZE: of
# the two tags only the first is allowed for, although a link carries both and the kernel itself sends either.
#
# What follows for user-level stacks and their tests: a service tag costs four bytes of payload on this way.
# Exit code 0: seen as described; 1: it behaves otherwise now; 77: not allowed here.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo 'needs root'; exit 77; }
uname -r
seen=$(unshare -n python3 - <<'PY'
import errno, os, socket, struct, subprocess
run = lambda *words: subprocess.run(words, check=True)
run('ip', 'link', 'add', 'ixa', 'type', 'veth', 'peer', 'name', 'ixb')
for name in ('ixa', 'ixb'): run('ip', 'link', 'set', name, 'up')
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
s.bind(('ixa', 0))
for kind, tag in (('untagged', b''), ('802.1Q', struct.pack('!HH', 0x8100, 1)), ('802.1ad', struct.pack('!HH', 0x88a8, 1))):
    longest = 0
    for payload in (1496, 1500, 1501):
        frame = b'\x02\0\0\0\0\x01' + b'\x02\0\0\0\0\x02' + tag + struct.pack('!H', 0x88b5) + bytes(payload)
        try:
            s.send(frame)
            longest = payload
        except OSError as error:
            assert error.errno == errno.EMSGSIZE, error
    print(f'{kind}: payload of at most {longest}')
PY
)
echo "$seen"
[ "$seen" = 'untagged: payload of at most 1500
802.1Q: payload of at most 1500
802.1ad: payload of at most 1496' ]
