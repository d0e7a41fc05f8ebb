#!/usr/bin/env bash
# memcached 1.6.18 (Debian 12), the text protocol's `flush_all [delay]`.
#
# protocol.txt: with a delay the items are invalidated after so many seconds. `flush_all 1` is in force at once: what was
# stored before is gone with the answer OK. And what is stored afterwards in the rest of the same clock second is answered
# STORED and is a miss: for the client the store was done and the value is not there. `flush_all` and `flush_all 0` do
# not do that to the next store.
#
# What follows for clients: no flush_all 1. For compatible servers: follow it or say so, and test with the clock.
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
import socket, sys, time
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
f = s.makefile('rb')
def ask(command, lines=1):
    s.sendall(command.encode() + b'\r\n')
    return [f.readline().decode().strip() for _ in range(lines)]
def get(key):
    first = ask(f'get {key}')[0]
    if first == 'END': return 'miss'
    f.readline(); f.readline()
    return 'hit'
def early():
    # The server's clock ticks once a second: begin right behind a tick, as its `time` shows it.
    def tick():
        s.sendall(b'stats\r\n')
        now = None
        while True:
            line = f.readline().decode().split()
            if line[0] == 'END': return now
            if line[1] == 'time': now = line[2]
    now = tick()
    while tick() == now: time.sleep(0.01)
for delay in ['', ' 0', ' 1']:
    ask('set old 0 0 1\r\nx')
    time.sleep(2.1)
    early()
    flush = ask('flush_all' + delay)[0]
    old = get('old')
    stored = ask('set new 0 0 1\r\nx')[0]
    print(f'flush_all{delay}: {flush}; an old item: {old}; a new one: {stored}, then {get("new")}')
    time.sleep(2.1)
PY
python3 "$work/ask.py" "$port" | tee "$work/seen"
grep -qx 'flush_all: OK; an old item: miss; a new one: STORED, then hit' "$work/seen" || exit 1
grep -qx 'flush_all 1: OK; an old item: miss; a new one: STORED, then miss' "$work/seen" || exit 1
