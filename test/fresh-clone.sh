#!/usr/bin/env bash
# What a new user does, from nothing: a clone of HEAD, `npm start`, a value stored and read through
# the host's kernel over IPv4 and IPv6, Ctrl-C, and nothing is left; then `npm test` in the clone.
# Needs root, nc, and 10.77.0.2 and fd77::2 to be free.
# Usage: test/fresh-clone.sh [--no-test]  (without `npm test`: under a minute)
set -euo pipefail
case ${1:-} in '' | --no-test) ;; *) sed -n 's/^# Usage: /usage: /p' "$0" >&2; exit 2 ;; esac
root=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d "${TMPDIR:-/tmp}/ix-fresh-XXXXXX")
chmod 755 "$copy" # as `git clone` makes it: what runs does not run as root
export IX_STATE_DIR=$copy.state
server=
finish() {
  [ -z "$server" ] || kill -TERM -- "-$server" 2>/dev/null || true
  rm -rf "$copy" "$IX_STATE_DIR"
}
trap finish EXIT
fail() {
  echo "fresh-clone: $*" >&2
  exit 1
}
links() { ls /proc/sys/net/ipv4/conf; }
# What runs from the clone, by its command line.
processes() {
  for file in /proc/[0-9]*/cmdline; do
    line=$(tr '\0' ' ' 2>/dev/null <"$file" || true)
    [[ $line != *"$copy/"* ]] || echo "$line"
  done 2>/dev/null
}
request() { printf "$2" | timeout 5 nc "$1" 11211 | tr -d '\r' | tr '\n' ' '; }
expect() { [ "$2" = "$3" ] || fail "$1 answered '$2'"; }

git clone -q "$root" "$copy"
cd "$copy"
before=$(links)

began=$SECONDS
set -m # a process group of its own, as a terminal gives: Ctrl-C is for all of it
npm start >"$copy/out" 2>"$copy/err" </dev/null &
server=$!
set +m
until grep -q '^ix: kv ready at 10.77.0.2:11211$' "$copy/out"; do
  kill -0 "$server" 2>/dev/null || { cat "$copy/out" "$copy/err" >&2; fail 'npm start ended'; }
  [ $((SECONDS - began)) -lt 300 ] || fail 'not ready after 300 s'
  sleep 0.2
done
echo "fresh-clone: ready after $((SECONDS - began)) s"

answer=$(request 10.77.0.2 'set a 0 0 5\r\nhello\r\nget a\r\nquit\r\n')
expect 10.77.0.2 "$answer" 'STORED VALUE a 0 5 hello END '
if [ -e /proc/net/if_inet6 ]; then
  expect fd77::2 "$(request fd77::2 'get a\r\nquit\r\n')" 'VALUE a 0 5 hello END '
else
  echo 'fresh-clone: no IPv6 on this machine: not asked'
fi
bin/ix stat --json | grep -q '"app":"kv"' || fail 'stat does not see it'

kill -INT -- "-$server"
status=0
wait "$server" || status=$?
server=
# npm says of itself that it was interrupted (130) where the shell lets it; what it ran ended in order.
[ "$status" = 0 ] || [ "$status" = 130 ] || fail "npm start ended with $status: $(cat "$copy/err")"
for _ in 1 2 3 4 5 6 7 8 9 10; do
  [ -n "$(processes)" ] || break
  sleep 0.2
done
[ -z "$(processes)" ] || fail "left running: $(processes)"
[ "$(links)" = "$before" ] || fail "links were left behind: $(links)"
! ls "$IX_STATE_DIR" 2>/dev/null | grep -q '\.json$' || fail "records were left behind: $(ls "$IX_STATE_DIR")"
echo 'fresh-clone: stored, read, stopped, nothing left'

if [ "${1:-}" != --no-test ]; then npm test; fi
