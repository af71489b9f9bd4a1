# Makes the root folder of a Debian system with PostgreSQL and RabbitMQ. To be run in a mount namespace of its own, so that what
# debootstrap mounts goes with it.
set -eu
release=$1 root=$2 mirror=$3
new=$root.new
export PATH="$PATH:/usr/sbin:/sbin"

rm -rf "$new"
mkdir -p "$new"
# "sid" is debootstrap's script for all releases: an older debootstrap does not know the names of newer ones.
debootstrap --variant=minbase --include=postgresql,rabbitmq-server "$release" "$new" "$mirror" sid

# The newest minor releases come as updates, which debootstrap does not look at.
if [ "$release" != sid ]; then
    cat >"$new/etc/apt/sources.list" <<END
deb $mirror $release main
deb $mirror $release-updates main
deb $mirror-security $release-security main
END
fi
# Debian asks this program before it starts a service; 101 means no.
printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d"
chmod 755 "$new/usr/sbin/policy-rc.d"
mount --rbind /proc "$new/proc"
apt() { DEBIAN_FRONTEND=noninteractive chroot "$new" apt-get -q "$@"; }
# A release that is not yet released may have no updates.
apt update || echo "not all of the updates of $release are there"
apt -y upgrade
apt clean
umount -R "$new/proc"
rm -rf "$new/var/lib/apt/lists"
mv "$new" "$root"
