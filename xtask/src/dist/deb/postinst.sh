#!/bin/sh
# What debhelper's snippets do: the unit is enabled unless an administrator switched it off, started at the first installation, and
# restarted when it runs at an upgrade. DPKG_ROOT is set where dpkg installs into another root, in which nothing runs.
set -e

case "$1" in
configure | abort-upgrade | abort-deconfigure | abort-remove)
    if command -v deb-systemd-helper >/dev/null; then
        deb-systemd-helper unmask onlooker.service >/dev/null || true
        if deb-systemd-helper --quiet was-enabled onlooker.service; then
            deb-systemd-helper enable onlooker.service >/dev/null || true
        else
            deb-systemd-helper update-state onlooker.service >/dev/null || true
        fi
    fi
    if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        if command -v deb-systemd-invoke >/dev/null; then
            if [ -n "$2" ]; then
                deb-systemd-invoke try-restart onlooker.service >/dev/null || true
            else
                deb-systemd-invoke start onlooker.service >/dev/null || true
            fi
        fi
    fi
    ;;
esac
