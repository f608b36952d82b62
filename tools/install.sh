#!/bin/sh
# Builds the tools pinned by the modules beside this file, and prints a directory with links to their programs as the
# last line of its output. Does nothing, and needs no network, when they are there already.
#
#   tools/install.sh [MODULE...]   default: all
#   PGVIGIL_CACHE=DIR              where to keep them; default ~/.cache/pgvigil
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${PGVIGIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pgvigil}
cd "$here"
[ $# -gt 0 ] || set -- */go.mod

sha256() {
	if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c 1-16
}

# programs prints the packages of a module's programs.
programs() {
	sed -n -e 's/^tool \([^(]\)/\1/p' -e '/^tool (/,/^)/s/^	//p' "$1/go.mod"
}

# Go's version is part of a module's key: staticcheck refuses to read code for a newer Go than it was built with. How a
# module is built is another part.
platform=$(go env GOVERSION GOOS GOARCH)
flags() {
	case $1 in
	# Else it brings the client of every service discovery, some of which no module proxy serves.
	promtool) echo "-tags=remove_all_sd" ;;
	# It casts labels to a form that Prometheus has only with this tag; without it, it panics at its first query.
	thanos) echo "-tags=slicelabels" ;;
	esac
}
home() {
	echo "$cache/tool-$1-$( (echo "$platform" "$(flags "$1")" && cat "$1/go.mod" "$1/go.sum") | sha256)"
}

# build makes the programs of one module. Its directory appears when all are there.
build() (
	dir=$(home "$1")
	[ ! -d "$dir" ] || exit 0
	echo "install.sh: building $1, once" >&2
	new=$(mktemp -d "$cache/new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	trap 'exit 1' HUP INT TERM
	cd "$1"
	for package in $(programs .); do
		GOFLAGS= CGO_ENABLED=0 go build $(flags "$1") -trimpath -ldflags='-s -w' -o "$new/${package##*/}" "$package"
	done
	# Another install.sh may have put it there meanwhile; what is moved into it then is removed.
	mv "$new" "$dir"
	rm -rf "$dir/${new##*/}"
)

mkdir -p "$cache"
modules=
for module; do
	modules="$modules ${module%/go.mod}"
done

# At once: one waits for the network while another has the CPU.
builds=
for module in $modules; do
	build "$module" &
	builds="$builds $!"
done
for pid in $builds; do
	wait "$pid"
done

bin=$cache/tools-$( (for module in $modules; do home "$module"; done) | sha256)
mkdir -p "$bin"
for module in $modules; do
	for package in $(programs "$module"); do
		[ -e "$bin/${package##*/}" ] || ln -sfn "$(home "$module")/${package##*/}" "$bin/${package##*/}"
	done
done
echo "$bin"
