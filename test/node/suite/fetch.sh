#!/usr/bin/env bash
# fetch.sh FOLDER: Node's own tests, of Debian's source package nodejs, below FOLDER/node; FOLDER/version says which.
#
# - apt fetches and checks them, from the archive that this machine uses already, with lists of its own; nothing is
#   installed. The newest version that the archive gives is taken (a list may name one whose files are gone).
# - What is there already is left.
set -euo pipefail
folder=$1
[ ! -f "$folder/version" ] || exit 0
say() { printf 'suite: %s\n' "$*" >&2; }
for tool in apt-get apt-cache tar xz; do
  command -v "$tool" >/dev/null || { say "$tool is missing"; exit 2; }
done
mkdir -p "$folder"/{lists/partial,cache/archives/partial,source}
folder=$(cd "$folder" && pwd)
archive=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
  awk '$2 == "bookworm" || $2 == "trixie" { print $1; exit }')
[ -n "$archive" ] || { say "this machine's apt has no Debian 12 or 13: run it on one that has"; exit 2; }
for suite in trixie forky sid experimental; do
  echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $suite main"
done >"$folder/sources.list"
own=(-q -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::Lists=$folder/lists"
  -o "Dir::Cache=$folder/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root -o Debug::NoLocking=1
  -o Acquire::Retries=3)
say 'reading package lists'
apt-get "${own[@]}" update >"$folder/apt.log" 2>&1 || { tail -n 3 "$folder/apt.log" >&2; exit 1; }
for version in $(apt-cache "${own[@]}" showsrc nodejs | awk '$1 == "Version:" { print $2 }' | sort -Vru); do
  say "fetching nodejs $version"
  (cd "$folder/source" && apt-get "${own[@]}" source --download-only "nodejs=$version") >>"$folder/apt.log" 2>&1 && break
  version=
done
[ -n "${version:-}" ] || { tail -n 3 "$folder/apt.log" >&2; exit 1; }
source=$(echo "$folder/source/nodejs_${version%-*}.orig.tar."*)
rm -rf "$folder/node"
mkdir "$folder/node"
tar -xf "$source" -C "$folder/node" --strip-components=1 --wildcards \
  '*/test/parallel' '*/test/sequential' '*/test/common' '*/test/fixtures'
# They are CommonJS: what is said of types further up is not for them.
echo '{}' >"$folder/node/package.json"
rm -rf "$folder/source" "$folder/lists"
echo "$version" >"$folder/version"
