#!/bin/bash
# Makes FOLDER/usr: the daemons and tools of Ceph, from Debian's packages, which are downloaded and unpacked but not
# installed (43 MB, 3 s).
#
#     ceph-programs.sh FOLDER
#
# Nothing happens when they are there.  Several may call it at once.  The last line on stderr says why it failed.
set -euo pipefail
export LC_ALL=C

# ceph-base holds the object classes of the OSD.  The last ones are what else they link, and librbd does not.
packages='ceph-mon ceph-osd ceph-base ceph-common libleveldb1d libsnappy1v5 libfuse2 libradosstriper1 librados2 librbd1
    libaio1 libpmem1 libndctl6 libdaxctl1 libkmod2 libncurses6 libboost-program-options1.74.0'

cannot() {
    echo "ceph-programs.sh: $*" >&2
    exit 1
}

mkdir -p "$1"
folder=$(cd "$1" && pwd)
exec 9>"$folder/lock"
flock 9
[ ! -e "$folder/ready" ] || exit 0
work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

(
    cd "$work"
    # shellcheck disable=SC2086 # one word for each package
    apt-get --quiet=2 --option APT::Sandbox::User=root download $packages
) >&2 || cannot "the packages of Ceph can't be downloaded"
for package in "$work"/*.deb; do
    dpkg -x "$package" "$folder"
done
# Nothing needs these, and they are half of it.
rm -rf "${folder:?}"/usr/share "$folder"/usr/bin/{radosgw-admin,ceph-dencoder,ceph-syn,cephfs-*,ceph-*-tool,ceph-*store-tool}

libraries=$(dirname "$folder"/usr/lib/*/librados.so.2)
missing=$(for program in ceph-mon ceph-osd rbd rados monmaptool; do
    LD_LIBRARY_PATH=$libraries:${libraries/usr\/lib/lib} ldd "$folder/usr/bin/$program"
done | awk '/not found/ { print $1 }' | sort -u)
[ -z "$missing" ] || cannot "this machine lacks libraries: $missing"
touch "$folder/ready"
