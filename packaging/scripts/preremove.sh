#!/bin/sh
# Before removal, by dpkg (remove) or rpm (0). Not before an upgrade: the running
# relay goes on until the new one is in place.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now careerrelay.service careerrelay.socket careerrelay-smtps.socket careerrelay-web.socket
	fi
	;;
esac
