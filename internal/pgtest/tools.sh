#!/bin/sh
# Installs what tests run beside the PostgreSQL servers: PgBouncer, pgBackRest, Barman, OpenSSL, Prometheus, Alertmanager, Chromium, Patroni,
# etcd and PostgreSQL 15's programs, as packages of Debian or Ubuntu. Does nothing, and needs no network, when they are there already.
#
# Where it cannot (another system, not root, no network) it says what to install and succeeds: the tests that need a
# missing tool are skipped. In CI they fail, and so does this script where it should have worked.
#
# No service is started, and no cluster of PostgreSQL is made or touched.
set -eu
umask 022

client=15 # the newest that Barman 3.4 and pgBackRest 2.45, Debian 12's, work with

# missing prints the packages whose programs are not there.
missing() {
	PATH=$PATH:/usr/sbin:/usr/bin
	command -v pgbouncer >/dev/null || echo pgbouncer
	command -v pgbackrest >/dev/null || echo pgbackrest
	command -v barman >/dev/null || echo barman
	command -v openssl >/dev/null || echo openssl
	command -v prometheus >/dev/null || echo prometheus
	command -v prometheus-alertmanager >/dev/null || command -v alertmanager >/dev/null || echo prometheus-alertmanager
	command -v chromium >/dev/null || echo chromium
	command -v patroni >/dev/null || echo patroni
	command -v etcd >/dev/null || echo etcd-server
	[ -d /usr/lib/python3/dist-packages/etcd ] || echo python3-etcd # which Patroni may come without
	[ -x /usr/lib/postgresql/$client/bin/pg_basebackup ] || echo postgresql-client-$client
	[ -x /usr/lib/postgresql/$client/bin/pg_controldata ] || echo postgresql-$client
}

give_up() {
	echo "tools.sh: $1: install $(echo $packages), or the tests that need them are skipped" >&2
	[ -n "${CI:-}" ] && [ "${2:-}" = failed ] && exit 1
	exit 0
}

packages=$(missing)
[ -n "$packages" ] || exit 0
command -v apt-get >/dev/null && [ -r /etc/debian_version ] || give_up "this is neither Debian nor Ubuntu"
[ "$(id -u)" -eq 0 ] || give_up "only root can install packages"

# One at a time: the guard below is one file.
exec 9>/run/pgvigil-tools.lock
flock -w 600 9 || give_up "somebody else has been installing for ten minutes" failed
packages=$(missing)
[ -n "$packages" ] || exit 0

# Debian starts services as it installs them unless this program forbids it. Containers often have their own, which
# stays; ours goes again, also one that a killed run has left.
guard=/usr/sbin/policy-rc.d
mark='# pgvigil: while tools.sh installs'
ours=
# postgresql-15 makes a cluster as it is installed, unless it finds that there is one: this is none, and goes again.
stand_in=/etc/postgresql/$client/pgvigil-tools
trap 'rm -rf $ours $stand_in' EXIT
trap 'exit 1' HUP INT TERM
if [ ! -e $guard ] || grep -qxF "$mark" $guard; then
	ours=$guard
	printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >$guard
	chmod 0755 $guard
elif invoke=0; $guard pgbouncer start >/dev/null 2>&1 9>&- || invoke=$?; [ $invoke -ne 101 ]; then
	give_up "$guard lets packages start services" failed
fi

apt() { # the lock of another apt or dpkg is waited for, of lists and of packages
	DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
		-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" >&2 </dev/null 9>&-
}
echo "tools.sh: installing" $packages >&2
apt update || give_up "apt-get update failed" failed
case $packages in *postgresql-$client*)
	mkdir -p $stand_in
	: >$stand_in/postgresql.conf
	;;
esac
# One by one, so that a package that this release lacks costs only its own tests.
for package in $packages; do
	apt install --no-install-recommends $package || echo "tools.sh: $package cannot be installed" >&2
done
packages=$(missing)
[ -z "$packages" ] || give_up "not all could be installed" failed
