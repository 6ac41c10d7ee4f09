#!/bin/sh
# After unpacking, by dpkg (configure) or rpm (1 or 2). Makes the user and the
# folders; starts nothing: the configuration that comes along is a sample.
set -e

case "$1" in
configure | [0-9]*) ;;
*) exit 0 ;;
esac

if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers careerrelay.conf
elif ! getent passwd careerrelay >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/careerrelay --no-create-home --shell /usr/sbin/nologin careerrelay
fi
# Passwords may lie beside the configuration: the relay reads them, others do not.
chown root:careerrelay /etc/careerrelay /etc/careerrelay/careerrelay.yaml
chmod 0750 /etc/careerrelay
chmod 0640 /etc/careerrelay/careerrelay.yaml
install -d -o careerrelay -g careerrelay -m 0700 /var/lib/careerrelay

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart careerrelay.service # an upgrade; mail waits at its sender meanwhile
fi
if [ "$1" = 1 ] || { [ "$1" = configure ] && [ -z "$2" ]; }; then
	cat <<-'END'
		Career Relay is installed and not started. Next:
		  edit /etc/careerrelay/careerrelay.yaml
		  careerrelay check /etc/careerrelay/careerrelay.yaml
		  systemctl enable --now careerrelay
	END
fi
