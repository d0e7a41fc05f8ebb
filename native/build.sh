#!/bin/sh
# Compiles native/sys.c against the headers inside the Node package. Usage: native/build.sh NODE_PACKAGE_DIR
set -eu
cd "$(dirname "$0")/.."
mkdir -p build
${CC:-cc} -O2 -Wall -Wextra -shared -fPIC -I "$1/include/node" -o build/sys.node.tmp native/sys.c
mv build/sys.node.tmp build/sys.node
