#!/bin/sh
# Builds the tools pinned by the modules beside this file, and prints the directory of their programs as the last line
# of its output. Does nothing, and needs no network, when they are there already.
#
#   tools/install.sh [TOOL...]   default: all
#   PGVIGIL_CACHE=DIR            where to keep them; default ~/.cache/pgvigil
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
[ $# -gt 0 ] || set -- promtool staticcheck

sha256() {
	if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c 1-16
}

# Go's version is part of the key: staticcheck refuses to read code for a newer Go than it was built with.
platform=$(go env GOVERSION GOOS GOARCH)
key=$( (echo "$platform" && cd "$here" && cat ./*/go.mod ./*/go.sum) | sha256)
bin=${PGVIGIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pgvigil}/tools-$key
mkdir -p "$bin"

for tool; do
	[ ! -x "$bin/$tool" ] || continue
	echo "install.sh: building $tool, once" >&2
	new=$(mktemp -d "$bin/new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	trap 'exit 1' HUP INT TERM
	# Without the tag promtool brings the client of every service discovery, some of which no module proxy serves.
	(cd "$here/$tool" && GOFLAGS= CGO_ENABLED=0 go build -tags remove_all_sd -trimpath -o "$new/$tool" \
		"$(sed -n 's/^tool //p' go.mod)")
	mv "$new/$tool" "$bin/$tool"
	rmdir "$new"
done
echo "$bin"
