#!/usr/bin/env bash
# memcached 1.6.18 (Debian 12), the meta command `ma` (arithmetic) with the flag T (a new time to live).
#
# protocol.txt: T updates the remaining time to live. It does while the new number has no more digits than the old one:
# then the item is changed where it is. When it has more, another item takes its place, and that one keeps the time to live
# from before; yet the answer to `t` in the same command tells the new one. A counter that should expire in 90 s stays for
# ever from the increment on that makes it longer, until the next `ma`.
#
# What follows for clients: no limits by rate with `ma ... T` alone; set the time when the counter is made (N).
# For compatible servers: follow it or say so. Exit code 0: seen as described; 1: it behaves otherwise now.
set -euo pipefail
command -v memcached >/dev/null || { apt-get -qq update && apt-get -qq install -y memcached=1.6.18* >/dev/null; }
memcached -V
work=$(mktemp -d)
port=$((20000 + RANDOM % 20000))
memcached -l 127.0.0.1 -p "$port" -U 0 -u nobody &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
sleep 1
cat >"$work/ask.py" <<'PY'
import socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
f = s.makefile('rb')
def ask(command):
    s.sendall(command.encode() + b'\r\n')
    first = f.readline().decode().split()
    if first[0] == 'VA': f.readline()
    return ' '.join(each for each in first if each[0] in 'tSHEN' or each == 'VA')
for start, delta in [('11', '1'), ('9', '9')]:
    ask(f'set n 0 0 {len(start)}\r\n{start}')
    told = ask(f'ma n D{delta} T90 v t')
    print(f'{start} + {delta}: ma says {told}; then mg says {ask("mg n t")}')
PY
python3 "$work/ask.py" "$port" | tee "$work/seen"
grep -qx '11 + 1: ma says VA t90; then mg says HD t90' "$work/seen" || exit 1
grep -qx '9 + 9: ma says VA t90; then mg says HD t-1' "$work/seen" || exit 1
