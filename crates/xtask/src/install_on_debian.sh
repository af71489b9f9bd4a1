# Installs the packages that are named as arguments, without starting the services that come with them.
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    # Debian asks this program before it starts a service; 101 means no. Private servers need no services.
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends "$@"
