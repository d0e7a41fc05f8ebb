#!/usr/bin/env bash
# Linux (seen on 6.18.44), rtnetlink(7) and netdevice(7); needs root for network namespaces of its own.
#
# An interface is moved to another network namespace (`ip link set ixd netns other`). Its name is taken off the list first,
# then the kernel waits for every reader of that list to end, and only then says RTM_DELLINK: for 10 to 60 ms here (two cores,
# some load) SIOCGIFINDEX answers ENODEV while nobody has been told. Whoever asks by netlink (a dump, RTM_GETLINK) waits for
# the move to end, so to them the interface is there until the notice is in their queue.
#
# What follows for programs that watch links: a name that does not resolve is no sign that its notice was missed, and two
# ways of asking about one interface can disagree; ask by netlink, which is in order with its own notices.
# Exit code 0: seen as described; 1: it behaves otherwise now; 77: not allowed here.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo 'needs root'; exit 77; }
uname -r
seen=$(unshare -n -m --propagation private python3 - <<'PY'
import socket, struct, subprocess, threading
run = lambda *words: subprocess.run(words, check=True)
NETLINK = (socket.AF_NETLINK, socket.SOCK_RAW, 0)
run('mount', '--make-rprivate', '/')
subprocess.run(['mkdir', '-p', '/run/netns']); run('mount', '-t', 'tmpfs', 'tmpfs', '/run/netns')
run('ip', 'netns', 'add', 'other')
NEWLINK, DELLINK, GETLINK = 16, 17, 18

def messages(s):
    data, at = s.recv(1 << 16), 0
    while at < len(data):
        length, kind = struct.unpack_from('=IH', data, at)
        yield kind, struct.unpack_from('=i', data, at + 20)[0] if kind in (NEWLINK, DELLINK) else 0
        at += (length + 3) & ~3

def is_told(heard, index):  # what is in the queue, without waiting
    try:
        while True:
            if (DELLINK, index) in messages(heard): return True
    except BlockingIOError: return False

def named(index):
    try: return socket.if_nametoindex('ixd') == index
    except OSError: return False

asking = socket.socket(*NETLINK)
def listed(index):
    body = struct.pack('=BxHiII', 0, 0, 0, 0, 0)
    asking.send(struct.pack('=IHHII', 16 + len(body), GETLINK, 0x301, 1, 0) + body)  # REQUEST, DUMP
    there = False
    while True:
        for kind, each in messages(asking):
            if kind == 3: return there  # DONE
            there = there or each == index

for how, is_there in (('name', named), ('dump', listed)):
    early = 0
    for _ in range(10):
        run('ip', 'link', 'add', 'ixd', 'type', 'veth', 'peer', 'name', 'ixe')
        index = socket.if_nametoindex('ixd')
        heard = socket.socket(*NETLINK)
        heard.bind((0, 1)); heard.setblocking(False)  # RTMGRP_LINK
        move = threading.Thread(target=run, args=('ip', 'link', 'set', 'ixd', 'netns', 'other'))
        move.start()
        while is_there(index): pass
        early += not is_told(heard, index)
        move.join(); heard.close()
        run('ip', 'link', 'del', 'ixe')
    print(f'{how}: gone before the notice {early} of 10 times')
PY
)
echo "$seen"
early() { sed -n "s/^$1: .* \([0-9]*\) of 10 times/\1/p" <<<"$seen"; }
[ "$(early name)" -ge 5 ] && [ "$(early dump)" -eq 0 ]
