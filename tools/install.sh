#!/bin/sh
# Builds the tools pinned by the modules beside this file, of Go and of npm, and prints a directory with links to their
# programs as the last line of its output. Does nothing, and needs no network, when they are there already.
#
#   tools/install.sh [MODULE...]   default: all
#   PGVIGIL_CACHE=DIR              where to keep them; default ~/.cache/pgvigil
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${PGVIGIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pgvigil}
cd "$here"
[ $# -gt 0 ] || set -- */go.mod */package-lock.json

sha256() {
	if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c 1-16
}

# programs prints the packages of a module's programs, or of npm's their names.
programs() {
	case $1 in
	grafana) echo tsc ;;
	*) sed -n -e 's/^tool \([^(]\)/\1/p' -e '/^tool (/,/^)/s/^	//p' "$1/go.mod" ;;
	esac
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
	if [ -f "$1/go.mod" ]; then
		echo "$cache/tool-$1-$( (echo "$platform" "$(flags "$1")" && cat "$1/go.mod" "$1/go.sum") | sha256)"
	else
		echo "$cache/tool-$1-$(sha256 <"$1/package-lock.json")"
	fi
}

# build makes the programs of one module. Its directory appears when all are there.
build() (
	dir=$(home "$1")
	[ ! -d "$dir" ] || exit 0
	echo "install.sh: building $1, once" >&2
	new=$(mktemp -d "$cache/new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	trap 'exit 1' HUP INT TERM
	if [ -f "$1/go.mod" ]; then
		for package in $(programs "$1"); do
			GOFLAGS= CGO_ENABLED=0 go build -C "$1" $(flags "$1") -trimpath -ldflags='-s -w' -o "$new/${package##*/}" "$package"
		done
	else
		command -v npm >/dev/null || { echo "install.sh: npm is missing: install Node.js with npm" >&2; exit 1; }
		cp "$1/package.json" "$1/package-lock.json" "$1/.npmrc" "$new/"
		(cd "$new" && npm ci --ignore-scripts >&2)
		for program in $(programs "$1"); do
			ln -s "node_modules/.bin/$program" "$new/$program"
			"$new/$program" --version >&2 # npm is silent about an optional package that it could not fetch
		done
	fi
	# Another install.sh may have put it there meanwhile; what is moved into it then is removed.
	mv "$new" "$dir"
	rm -rf "$dir/${new##*/}"
)

mkdir -p "$cache"
modules=
for module; do
	modules="$modules ${module%/*}"
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
