#!/usr/bin/env bash
# What a new user does, from nothing: a clone of HEAD, `npm start`, a value stored and read through
# the host's kernel, Ctrl-C. Needs root, and 10.77.0.2 to be free.
# Usage: test/fresh-clone.sh [--test]  (runs `npm test` in the clone, too)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d "${TMPDIR:-/tmp}/ix-fresh-XXXXXX")
server=
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$copy"
}
trap finish EXIT
fail() { echo "fresh-clone: $*" >&2; exit 1; }

git clone -q "$root" "$copy"
cd "$copy"

began=$SECONDS
npm start >"$copy/out" 2>"$copy/err" &
server=$!
until grep -q '^ix: kv ready at 10.77.0.2:11211$' "$copy/out"; do
  kill -0 "$server" 2>/dev/null || { cat "$copy/out" "$copy/err" >&2; fail 'npm start ended'; }
  [ $((SECONDS - began)) -lt 300 ] || fail 'not ready after 300 s'
  sleep 0.2
done
echo "fresh-clone: ready after $((SECONDS - began)) s"

exec 3<>/dev/tcp/10.77.0.2/11211
printf 'set a 0 0 5\r\nhello\r\nget a\r\nquit\r\n' >&3
answer=$(timeout 5 cat <&3 | tr -d '\r' | tr '\n' ' ')
exec 3>&-
[ "$answer" = 'STORED VALUE a 0 5 hello END ' ] || fail "answered '$answer'"
bin/ix stat --json | grep -q '"app":"kv"' || fail 'stat does not see it'

kill -INT "$(bin/ix stat --json | sed 's/.*"pid":\([0-9]*\).*/\1/')"
wait "$server" || fail "npm start ended with $?"
server=
[ ! -e /proc/sys/net/ipv4/conf/ix0 ] || fail 'ix0 was left behind'
echo 'fresh-clone: stored, read, stopped, nothing left'

if [ "${1:-}" = --test ]; then npm test; fi
