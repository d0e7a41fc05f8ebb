#!/usr/bin/env bash
# Linux (seen on 6.18.44), bpf(2) BPF_LINK_CREATE of an XDP program (6.18: net/core/dev.c, bpf_xdp_link_attach); needs root
# for a network namespace of its own.
#
# A veth refuses an XDP program in native mode while its peer's MTU is above what fits a page, which is no fault of the
# program's. The system call that everybody uses has ERANGE for it, "Numerical result out of range", and no words; the same
# wish by netlink (IFLA_XDP) is refused with the same number and says why in its extended acknowledgement. The driver wrote
# the words for both: with bpf(2) they go to a tracepoint (xdp:bpf_xdp_link_attach_failed), where the caller does not see them.
#
# What follows for loaders: after a refusal, ask again by netlink for the reason alone.
# Exit code 0: seen as described; 1: it behaves otherwise now; 77: not allowed here.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo 'needs root'; exit 77; }
uname -r
seen=$(unshare -n python3 - <<'PY'
import ctypes, errno, os, platform, socket, struct, subprocess, sys
run = lambda *words: subprocess.run(words, check=True)
run('ip', 'link', 'add', 'ixa', 'mtu', '9000', 'type', 'veth', 'peer', 'name', 'ixb', 'mtu', '9000')
for name in ('ixa', 'ixb'): run('ip', 'link', 'set', name, 'up')
index = socket.if_nametoindex('ixa')

libc = ctypes.CDLL(None, use_errno=True)
BPF = {'x86_64': 321, 'aarch64': 280}[platform.machine()]
PROG_LOAD, LINK_CREATE, TYPE_XDP, ATTACH_XDP, DRV_MODE = 5, 28, 6, 37, 4
def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b'\0'), 128)
    result = libc.syscall(BPF, command, buffer, 128)
    return result if result >= 0 else -ctypes.get_errno()

# r0 = XDP_PASS; exit
program = ctypes.create_string_buffer(struct.pack('<BBhi', 0xb7, 0, 0, 2) + struct.pack('<BBhi', 0x95, 0, 0, 0))
licence = ctypes.create_string_buffer(b'GPL')
fd = bpf(PROG_LOAD, struct.pack('<IIQQ', TYPE_XDP, 2, ctypes.addressof(program), ctypes.addressof(licence)))
if fd in (-errno.EPERM, -errno.ENOSYS): sys.exit(77)
assert fd >= 0, os.strerror(-fd)

answer = bpf(LINK_CREATE, struct.pack('<IIII', fd, index, ATTACH_XDP, DRV_MODE))
print('bpf(2):', errno.errorcode.get(-answer, answer), '- no words')

# RTM_SETLINK with IFLA_XDP { IFLA_XDP_FD, IFLA_XDP_FLAGS }
SETLINK, REQUEST_ACK, IFLA_XDP, NESTED = 19, 5, 43, 0x8000
attribute = lambda kind, data: struct.pack('=HH', len(data) + 4, kind) + data
xdp = attribute(1, struct.pack('=i', fd)) + attribute(3, struct.pack('=I', DRV_MODE))
body = struct.pack('=BxHiII', 0, 0, index, 0, 0) + attribute(IFLA_XDP | NESTED, xdp)
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.setsockopt(270, 11, 1)  # SOL_NETLINK, NETLINK_EXT_ACK
s.setsockopt(270, 10, 1)  # NETLINK_CAP_ACK: the request is not sent back
s.send(struct.pack('=IHHII', 16 + len(body), SETLINK, REQUEST_ACK, 1, 0) + body)
message = s.recv(4096)
number = struct.unpack_from('=i', message, 16)[0]
at, words = 16 + 4 + 16, ''
while at + 4 <= len(message):
    length, kind = struct.unpack_from('=HH', message, at)
    if kind & 0x3fff == 1: words = message[at + 4:at + length].rstrip(b'\0').decode()
    at += (length + 3) & ~3
print('netlink:', errno.errorcode.get(-number, number), '-', words)
PY
) || exit $?
echo "$seen"
[ "$(sed -n 1p <<<"$seen")" = 'bpf(2): ERANGE - no words' ] && grep -q '^netlink: ERANGE - .*MTU' <<<"$seen"
