#!/usr/bin/env bash
# memcached 1.6.18 (Debian 12), the text protocol's `append` and `prepend`.
#
# protocol.txt: NOT_STORED says that data was not stored, but not because of an error; for append, that there is no such key.
# It is also the answer when the key is there and both values together are larger than an item may be (1 MiB by default),
# though a `set` of that size is answered `SERVER_ERROR object too large for cache`. The old value stays.
#
# What follows for clients: the usual loop (append; if NOT_STORED, add; if NOT_STORED, append again) never ends once a value
# is full: append says that it is not there, add that it is. For compatible servers: follow it or say so.
# Exit code 0: seen as described; 1: it behaves otherwise now.
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
s.settimeout(10)
f = s.makefile('rb')
def store(verb, key, length):
    s.sendall(f'{verb} {key} 0 0 {length}\r\n'.encode() + b'x' * length + b'\r\n')
    return f.readline().decode().strip()
def length(key):
    s.sendall(f'get {key}\r\n'.encode())
    first = f.readline().split()
    if first == [b'END']: return 'none'
    size = int(first[3])
    f.read(size + 2)
    f.readline()
    return size
print('append, no such key:', store('append', 'none', 10))
print('set of 1,000,000 bytes:', store('set', 'log', 1000000))
for verb in ('append', 'prepend', 'add'):
    print(f'{verb} of 100,000 bytes to it:', store(verb, 'log', 100000))
print('its length now:', length('log'))
print('set of 1,100,000 bytes:', store('set', 'other', 1100000))
PY
python3 "$work/ask.py" "$port" | tee "$work/seen"
[ "$(cat "$work/seen")" = 'append, no such key: NOT_STORED
set of 1,000,000 bytes: STORED
append of 100,000 bytes to it: NOT_STORED
prepend of 100,000 bytes to it: NOT_STORED
add of 100,000 bytes to it: NOT_STORED
its length now: 1000000
set of 1,100,000 bytes: SERVER_ERROR object too large for cache' ]
