#!/bin/sh
set -e

if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi

case "$1" in
remove)
    if command -v deb-systemd-helper >/dev/null; then
        deb-systemd-helper mask onlooker.service >/dev/null || true
    fi
    ;;
purge)
    if command -v deb-systemd-helper >/dev/null; then
        deb-systemd-helper purge onlooker.service >/dev/null || true
        deb-systemd-helper unmask onlooker.service >/dev/null || true
    fi
    # The unit's user exists only while it runs, so systemd keeps the folder under private/ and puts a link beside it.
    rm -rf "${DPKG_ROOT:-}/var/lib/onlooker" "${DPKG_ROOT:-}/var/lib/private/onlooker"
    ;;
esac
