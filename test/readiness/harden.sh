#!/bin/sh
# harden.sh makes, from nothing, a PostgreSQL server that passes all checks of pgvigil that a script can make pass, and a
# standby of it. It is to be read as a recipe: each step names what it is for. It works with PostgreSQL 13 to 18.
#
#   harden.sh BINDIR DIR
#
# BINDIR has initdb and postgres; DIR is a directory of the user who runs this, who is not root, and who is to run the
# servers. When it is done nothing runs. Start the two with
#
#   BINDIR/postgres -D DIR/primary/data
#   BINDIR/postgres -D DIR/standby/data
#
# and judge them with: pgvigil check --config.file=DIR/pgvigil.yml --target=primary
#
#   PORT, STANDBY_PORT   where the two listen                                              5432, 5433
#   LISTEN               their address: one that clients use, never *                      127.0.0.1
#   NETWORKS             the networks that clients come from, apart by blanks              LISTEN/32
#                        (pgvigil tells where a session is from by its /24, or /64 of IPv6)
#   ADMIN                the user of this machine who may become the superuser             who runs this
#   SHARED_BUFFERS       a quarter of the machine's memory, as a start                     256MB
#   CACHE                what PostgreSQL and the system have together to cache files with  4GB
#
# What it cannot make: a failover manager, a pooler, a standby that is truly elsewhere, backups, and the job that tests a
# restore. The last two tell of themselves in DIR/backups.json, as docs/backups.md says.
set -eu
umask 077

[ $# -eq 2 ] || { echo "usage: harden.sh BINDIR DIR" >&2; exit 2; }
bin=$1
dir=$(CDPATH='' cd -- "$2" && pwd)
port=${PORT:-5432}
standby_port=${STANDBY_PORT:-5433}
listen=${LISTEN:-127.0.0.1}
networks=${NETWORKS:-$listen/32}
admin=${ADMIN:-$(id -un)}
primary=$dir/primary/data
standby=$dir/standby/data
major=$("$bin/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')

mkdir -p "$dir/primary" "$dir/standby" "$dir/tls" "$dir/secrets" "$dir/archive"
mkdir -p "$dir/run" && chmod 755 "$dir" "$dir/run" # the way to the Unix sockets

# 1. The cluster: checksums on all pages, and nobody trusted for a moment.
"$bin/initdb" -D "$primary" -U postgres -E UTF8 --locale=C --data-checksums --auth-local=peer --auth-host=scram-sha-256 >/dev/null

# 2. TLS: an authority of your own, and a certificate with the address that clients verify. Keep ca.key elsewhere. (libpq
# before 15 looks for an address in the common name, and there only where no DNS name is beside it.)
cd "$dir/tls"
key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
openssl req -x509 $key -keyout ca.key -out ca.crt -days 3650 -subj "/CN=Database authority" 2>/dev/null
openssl req -new $key -keyout server.key -out server.csr -subj "/CN=$listen" 2>/dev/null
printf 'subjectAltName=IP:%s\nextendedKeyUsage=serverAuth\n' "$listen" >server.ext
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile server.ext -out server.crt 2>/dev/null
chmod 644 ca.crt

# 3. The settings.
cat >"$primary/hardened.conf" <<CONF
# Who can connect, and how.
listen_addresses = '$listen'
port = $port
unix_socket_directories = '$dir/run'
ssl = on
ssl_cert_file = '$dir/tls/server.crt'
ssl_key_file = '$dir/tls/server.key'
ssl_min_protocol_version = 'TLSv1.2'
password_encryption = 'scram-sha-256'

# Memory. work_mem times max_connections stays below half of what there is to cache with.
max_connections = 100
shared_buffers = ${SHARED_BUFFERS:-256MB}
effective_cache_size = ${CACHE:-4GB}
work_mem = 8MB
max_wal_size = 4GB
checkpoint_timeout = 15min

# Replication: one of the standbys has each commit, and one that stays away cannot fill the disk.
wal_level = replica
synchronous_standby_names = 'ANY 1 (elsewhere)'
max_slot_wal_keep_size = 16GB

# Archive. Your backup tool's command goes here; this one only shows what such a command must do.
archive_mode = on
archive_command = 'test ! -f $dir/archive/%f && cp %p $dir/archive/%f'

# What is measured.
shared_preload_libraries = 'pg_stat_statements, auto_explain'
pg_stat_statements.max = 10000
track_io_timing = on
auto_explain.log_min_duration = '5s'
auto_explain.log_nested_statements = on

# What is logged.
log_connections = on
log_disconnections = on
log_checkpoints = on
log_lock_waits = on
log_temp_files = 10MB
log_min_duration_statement = '1s'
log_autovacuum_min_duration = '10min'

# What ends by itself. Statements do so by role, below.
idle_in_transaction_session_timeout = '5min'
CONF
echo "include 'hardened.conf'" >>"$primary/postgresql.conf"

# 4. Who may come from where: the superuser from this machine only, all others by password, over TLS, from their networks.
{
	echo "local   all         postgres                        peer map=admin"
	for network in $networks; do
		echo "hostssl replication replicator            $network  scram-sha-256"
		echo "hostssl all         app,analyst,pgvigil   $network  scram-sha-256"
	done
} >"$primary/pg_hba.conf"
echo "admin $admin postgres" >"$primary/pg_ident.conf"

# 5. Roles and what they may. The single-user server needs no client and no port; each line is a statement.
sql() {
	said=$("$bin/postgres" --single -D "$primary" -c synchronous_standby_names= -c log_min_messages=error "$1" 2>&1 >/dev/null) || true
	case $said in *ERROR* | *FATAL* | *PANIC*) echo "harden.sh: $said" >&2 && exit 1 ;; esac
}
for role in app analyst replicator pgvigil; do
	openssl rand -hex 16 >"$dir/secrets/$role"
done
secret() { cat "$dir/secrets/$1"; }

# What is true of template1 is true of each database that is made of it.
sql template1 <<SQL
REVOKE CREATE ON SCHEMA public FROM PUBLIC
SQL

# The application owns nothing: its tables belong to a role that nobody can log in as. postgres is the only superuser, and
# its password, if it is ever given one, ends like all others.
sql postgres <<SQL
REVOKE CREATE ON SCHEMA public FROM PUBLIC
CREATE ROLE shop_owner NOLOGIN
CREATE ROLE app LOGIN PASSWORD '$(secret app)'
CREATE ROLE analyst LOGIN PASSWORD '$(secret analyst)'
CREATE ROLE replicator LOGIN REPLICATION PASSWORD '$(secret replicator)'
CREATE ROLE pgvigil LOGIN PASSWORD '$(secret pgvigil)'
ALTER ROLE app SET statement_timeout = '30s'
ALTER ROLE analyst SET statement_timeout = '10min'
ALTER ROLE analyst SET default_transaction_read_only = on
DO \$\$ DECLARE r name; BEGIN FOR r IN SELECT rolname FROM pg_roles WHERE rolcanlogin LOOP EXECUTE format('ALTER ROLE %I VALID UNTIL %L', r, now() + interval '90 days'); END LOOP; END \$\$
CREATE DATABASE shop
REVOKE ALL ON DATABASE shop FROM PUBLIC
GRANT CONNECT ON DATABASE shop TO app, analyst, pgvigil
CREATE EXTENSION pg_stat_statements
GRANT pg_monitor TO pgvigil
GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO pgvigil
GRANT SELECT ON pg_catalog.pg_authid TO pgvigil
SELECT pg_create_physical_replication_slot('elsewhere', true)
SQL
sql shop <<SQL
CREATE SCHEMA shop AUTHORIZATION shop_owner
GRANT USAGE ON SCHEMA shop TO app, analyst, pgvigil
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO app
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop GRANT USAGE ON SEQUENCES TO app
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop GRANT SELECT ON TABLES TO analyst, pgvigil
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop GRANT SELECT ON SEQUENCES TO pgvigil
SET ROLE shop_owner; CREATE TABLE shop.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, placed timestamptz NOT NULL DEFAULT now(), what text NOT NULL); CREATE TABLE shop.items (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id bigint NOT NULL REFERENCES shop.orders); CREATE INDEX ON shop.items (order_id)
SQL
# PostgreSQL hides statistics of tables and the positions of sequences from pg_monitor; since 14 a role shows them. That
# role reads all data too: leave it out if in doubt.
if [ "$major" -ge 14 ]; then
	sql postgres <<SQL
GRANT pg_read_all_data TO pgvigil
SQL
fi

# 6. The standby, a copy of the primary that is not running: elsewhere is its name and that of its slot. Where the primary
# runs already, pg_basebackup -R does the same.
cp -a "$primary" "$standby"
rm -rf "$standby"/pg_replslot/*
cat >>"$standby/hardened.conf" <<CONF

port = $standby_port
primary_slot_name = 'elsewhere'
primary_conninfo = 'host=$listen port=$port user=replicator passfile=$dir/secrets/replication application_name=elsewhere sslmode=verify-full sslrootcert=$dir/tls/ca.crt'
CONF
echo "*:*:*:replicator:$(secret replicator)" >"$dir/secrets/replication"
touch "$standby/standby.signal"

# 7. What pgvigil is told. It connects over TLS, so that it sees the certificate that clients see.
target() {
	echo "  - {name: $1, host: $listen, port: $2, dbname: postgres, user: pgvigil, password_file: $dir/secrets/pgvigil, sslmode: verify-full, sslrootcert: $dir/tls/ca.crt}"
}
cat >"$dir/pgvigil.yml" <<YAML
targets:
$(target primary "$port")
$(target standby "$standby_port")
backups:
  - {kind: file, tool: nightly, stanza: shop, path: $dir/backups.json, page: primary}
readiness:
  networks: [$(echo $networks | sed 's/ /, /g')]
  remote_standby: ^elsewhere$
YAML
