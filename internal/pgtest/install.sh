#!/bin/sh
# Installs the PostgreSQL servers that the tests, the benchmark and the demo run on, and prints their directory as the
# last line of its output. Does nothing, and needs neither npm nor a network, when they are there already.
#
#   PGVIGIL_CACHE=DIR  where to keep them; default /var/cache/pgvigil for root, ~/.cache/pgvigil for others
set -eu
umask 022 # as root the servers run as nobody, who must be able to enter

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/npm

fail() {
	echo "install.sh: $*" >&2
	exit 1
}

sha256() {
	if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -c 1-16
}

# pgtest.Find computes the same directory: change both.
if [ -n "${PGVIGIL_CACHE:-}" ]; then
	cache=$PGVIGIL_CACHE
elif [ "$(id -u)" -eq 0 ]; then
	cache=/var/cache/pgvigil # root's home is closed to nobody
else
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/pgvigil
fi
dir=$cache/postgres-$(sha256 "$here/package-lock.json")

if [ -d "$dir" ]; then
	echo "$dir"
	exit 0
fi

for tool in node npm; do
	command -v $tool >/dev/null || fail "$tool is missing: install Node.js 16 or newer with npm, which fetches the PostgreSQL servers"
done

mkdir -p "$cache"
new=$(mktemp -d "$cache/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
chmod 0755 "$new"
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$new/"
cd "$new"
npm ci --ignore-scripts >&2 || fail "npm ci failed"

# npm is silent about an optional package that it could not fetch, so each one is called for by name.
wanted=$(node -p '
	const suffix = `-${process.platform}-${process.arch}`
	Object.keys(require("./package.json").optionalDependencies).filter(name => name.endsWith(suffix)).join(" ")')
[ -n "$wanted" ] || fail "there are no servers for this platform ($(uname -sm))"
for package in $wanted; do
	[ -d "node_modules/$package" ] || fail "npm did not install $package"
	# The package's own install script; npm is told to run none.
	(cd "node_modules/$package" && node scripts/hydrate-symlinks.js)
	"node_modules/$package/native/bin/postgres" --version >&2 || fail "$package does not run here"
done

# rename(2) rather than mv, which would move into a directory that another install.sh has put there meanwhile.
node -e '
	try { fs.renameSync(process.argv[1], process.argv[2]) }
	catch (err) { if (!["ENOTEMPTY", "EEXIST"].includes(err.code)) throw err }' "$new" "$dir"
echo "$dir"
