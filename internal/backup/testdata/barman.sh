#!/bin/sh
# Stands in for Barman with answers that it once gave: barman.sh DIRECTORY -f json COMMAND [ARGUMENT…]
directory=$1
[ "$2 $3" = '-f json' ] || exit 2
shift 3
case "$*" in
'list-backup main' | 'check main') cat "$directory/$1.json" ;;
'show-backup main '*) [ -e "$directory/$3.json" ] && cat "$directory/$3.json" || cat "$directory/show-backup.json" ;;
*) exit 2 ;;
esac
[ "$1" != check ] || ! grep -q FAILED "$directory/check.json"
