#!/usr/bin/env bash
# memcached 1.6.18 (Debian 12), meta commands with a key in base64 (flag `b`) that make the item themselves.
#
# The flag k asks for the key to be told, and a key that came in base64 comes back in base64, with the flag b beside it: so
# for `mg` of an item that `ms ... b` has stored. An item that `mg ... N30` has vivified is told raw, without b, in the
# answer to that command and in every later one, though the client has only ever named it in base64. Bytes that base64 is
# for (a blank, an 8-bit character) then stand as they are in a line that clients split at blanks.
#
# What follows for clients: match answers by opaque (O), not by key. For compatible servers: follow it or say so.
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
import base64, socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
f = s.makefile('rb')
def ask(command):
    s.sendall(command.encode() + b'\r\n')
    return f.readline().decode().strip()
for how in ['stored by ms', 'vivified by mg']:
    key = base64.b64encode(how.encode()).decode()
    if how.startswith('stored'): ask(f'ms {key} 1 b\r\nx')
    else: print(f'  the answer that makes it: {ask(f"mg {key} b k N30")!r}')
    answer = ask(f'mg {key} b k')
    print(f'{how}: {"in base64" if key in answer else "raw"}: {answer!r}')
PY
python3 "$work/ask.py" "$port" | tee "$work/seen"
grep -q '^stored by ms: in base64: ' "$work/seen" || exit 1
grep -q "^vivified by mg: raw: 'HD kvivified by mg" "$work/seen" || exit 1
