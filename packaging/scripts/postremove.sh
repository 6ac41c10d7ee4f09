#!/bin/sh
# After removal, by dpkg (remove, purge) or rpm (0). The data stays, also after a
# purge: the law wants records of consent kept for three years, and a database
# without its keys is lost. Whoever wants it gone removes the folder.
set -e

case "$1" in
remove | purge | 0)
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload
	fi
	;;
esac
if [ "$1" = purge ]; then
	rmdir /var/lib/careerrelay 2>/dev/null || true
	if [ -d /var/lib/careerrelay ]; then
		echo "careerrelay: /var/lib/careerrelay stays: database, keys, records of consent. Remove it when the law lets you."
	elif getent passwd careerrelay >/dev/null; then
		userdel careerrelay || true
	fi
fi
