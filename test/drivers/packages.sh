#!/usr/bin/env bash
# packages.sh FOLDER KERNEL...: QEMU, busybox and kernels for test/drivers/run, unpacked below FOLDER, not installed.
#
# - Packages come through apt from the archive that this machine uses already, with lists of its own: Debian 12, its
#   security updates and backports (QEMU 10, kernel 6.12), and Debian 13's backports (newer kernels). apt checks them.
# - KERNEL is the beginning of a version: 6.1, 6.12, 6.18. The newest one of it is taken, the full flavour: the cloud
#   flavours have no igb and no e1000e.
# - Leaves FOLDER/qemu (run it with its own libraries) and FOLDER/kernels/VERSION; `FOLDER/kernels/KERNEL` is a link there,
#   KERNEL.release its name.
# - What is there already is left; needs about 230 MB from the network and 1.5 GB of disk for three kernels.
set -euo pipefail
folder=$1
shift
mkdir -p "$folder"/{lists/partial,cache/archives/partial,kernels,qemu}
folder=$(cd "$folder" && pwd)
say() { printf 'drivers: %s\n' "$*" >&2; }

# What apt knows here: the archive's address, and its security archive's.
targets() { apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | sort -u; }
archive=$(targets | awk '$2 == "bookworm" || $2 == "trixie" { print $1; exit }')
security=$(targets | awk '$2 ~ /^(bookworm|trixie)-security$/ { print $1; exit }')
[ -n "$archive" ] || { say "this machine's apt has no Debian 12 or 13: run it on one that has"; exit 2; }
key=/usr/share/keyrings/debian-archive-keyring.gpg
{
  for suite in bookworm bookworm-backports trixie-backports; do
    echo "deb [arch=amd64 signed-by=$key] $archive $suite main"
  done
  [ -z "$security" ] || echo "deb [arch=amd64 signed-by=$key] $security bookworm-security main"
} >"$folder/sources.list"

own=(-q -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::Lists=$folder/lists"
  -o "Dir::Cache=$folder/cache" -o APT::Architecture=amd64 -o APT::Default-Release= -o Acquire::Languages=none
  -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o Acquire::Retries=3)
if [ ! -f "$folder/lists.stamp" ]; then
  say 'reading package lists'
  apt-get "${own[@]}" update >"$folder/apt.log" 2>&1 || { tail -n 3 "$folder/apt.log" >&2; exit 1; }
  touch "$folder/lists.stamp"
fi

unpack() { for package in "$1"/*.deb; do dpkg -x "$package" "$2"; done; }
download() { (cd "$1" && shift && apt-get "${own[@]}" download "$@") >>"$folder/apt.log" 2>&1; }

if [ ! -x "$folder/qemu/usr/bin/qemu-system-x86_64" ]; then
  say 'fetching QEMU and the libraries that are missing here'
  # Only what is not installed is fetched, and nothing is installed.
  apt-get "${own[@]}" -y -t bookworm-backports --no-install-recommends --download-only install \
    qemu-system-x86 >>"$folder/apt.log" 2>&1 || { tail -n 5 "$folder/apt.log" >&2; exit 1; }
  unpack "$folder/cache/archives" "$folder/qemu"
fi
if [ ! -x "$folder/qemu/bin/busybox" ]; then
  mkdir -p "$folder/debs/busybox"
  download "$folder/debs/busybox" busybox-static
  unpack "$folder/debs/busybox" "$folder/qemu"
fi

newest() { # name of the newest image package of a version
  local escaped=${1//./\\.}
  apt-cache "${own[@]}" pkgnames "linux-image-$1." | grep -E "^linux-image-$escaped\.[0-9.]+(-[0-9]+|\+deb1[0-9]|\+bpo)?(\+deb1[0-9])?-amd64$" |
    sort -V | tail -n 1
}
for kernel in "$@"; do
  [ ! -e "$folder/kernels/$kernel/boot" ] || continue
  image=$(newest "$kernel")
  [ -n "$image" ] || { say "no kernel $kernel in the archive"; exit 2; }
  say "fetching $image"
  version=${image#linux-image-}
  mkdir -p "$folder/debs/$version" "$folder/kernels/$version"
  download "$folder/debs/$version" "$image" || { tail -n 5 "$folder/apt.log" >&2; exit 1; }
  unpack "$folder/debs/$version" "$folder/kernels/$version"
  rm -rf "$folder/debs/$version"
  echo "$version" >"$folder/kernels/$kernel.release"
  ln -sfn "$version" "$folder/kernels/$kernel"
done
