#!/usr/bin/env bash
# Linux (seen on 6.18.44), AF_XDP in copy mode (Documentation/networking/af_xdp.rst); needs root for a network namespace of
# its own.
#
# 100 frames are put into a transmit ring, then sendto(2) is called once. It fails with EAGAIN, which anywhere else says that
# nothing was done and that waiting helps; here 32 frames have left, nothing has to be waited for, and the same call at once
# sends 32 more. Only the call that finds less than 33 answers 0. The budget is per call; since 6.17 a socket can ask for
# another (XDP_MAX_TX_SKB_BUDGET, 32 or more).
#
# What follows for programs: after EAGAIN look at the ring's consumer index (up to 6.12, at the completion ring), and call
# again as long as it moves. Who waits for POLLOUT or drops the rest of a burst sends a burst in pieces.
# Exit code 0: seen as described; 1: it behaves otherwise now; 77: not allowed here.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo 'needs root'; exit 77; }
uname -r
seen=$(unshare -n -m --propagation private python3 - <<'PY'
import ctypes, errno, mmap, os, socket, struct, subprocess, sys
run = lambda *words: subprocess.run(words, check=True)
run('ip', 'link', 'add', 'ixa', 'type', 'veth', 'peer', 'name', 'ixb')
for name in ('ixa', 'ixb'):
    with open(f'/proc/sys/net/ipv6/conf/{name}/disable_ipv6', 'w') as file: file.write('1')
    run('ip', 'link', 'set', name, 'up')

XDP, SOL_XDP, FRAMES, CHUNK, LENGTH = 44, 283, 128, 2048, 60
OFFSETS, TX_RING, UMEM, FILL_RING, COMPLETION_RING, COPY = 1, 3, 4, 5, 6, 2
try: s = socket.socket(XDP, socket.SOCK_RAW, 0)
except OSError: sys.exit(77)
memory = mmap.mmap(-1, FRAMES * CHUNK)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
s.setsockopt(SOL_XDP, UMEM, struct.pack('=QQII', address, FRAMES * CHUNK, CHUNK, 0))
for ring in (FILL_RING, COMPLETION_RING, TX_RING): s.setsockopt(SOL_XDP, ring, FRAMES)
producer, consumer, descriptors, _ = struct.unpack_from('=4Q', s.getsockopt(SOL_XDP, OFFSETS, 128), 32)
ring = mmap.mmap(s.fileno(), descriptors + FRAMES * 16, offset=0x80000000)
where = struct.pack('=HHIII', XDP, COPY, socket.if_nametoindex('ixa'), 0, 0)
libc = ctypes.CDLL(None, use_errno=True)
if libc.bind(s.fileno(), where, len(where)) != 0: sys.exit(os.strerror(ctypes.get_errno()))

for i in range(100):
    frame = b'\xff' * 6 + b'\x02\0\0\0\0\x01' + b'\x88\xb5'
    memory[i * CHUNK:i * CHUNK + LENGTH] = frame.ljust(LENGTH, b'\0')
    struct.pack_into('=QII', ring, descriptors + i * 16, i * CHUNK, LENGTH, 0)
struct.pack_into('=I', ring, producer, 100)

def received():
    with open('/sys/class/net/ixb/statistics/rx_packets') as file: return int(file.read())

run('mount', '-t', 'sysfs', 'sysfs', '/sys')
for call in range(1, 5):
    try:
        s.send(b'', socket.MSG_DONTWAIT)
        answer = '0'
    except OSError as error: answer = errno.errorcode[error.errno]
    print(f'call {call}: {answer}, {received()} frames have arrived')
PY
) || exit $?
echo "$seen"
[ "$seen" = 'call 1: EAGAIN, 32 frames have arrived
call 2: EAGAIN, 64 frames have arrived
call 3: EAGAIN, 96 frames have arrived
call 4: 0, 100 frames have arrived' ]
