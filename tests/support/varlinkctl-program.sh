#!/bin/bash
# Makes FOLDER/varlinkctl: systemd's client of varlink, of a newer Debian than this one may be, with the libraries that it
# wants; packages are downloaded and unpacked, but not installed (14 MB, and once the list of them, 10 MB).
#
#     varlinkctl-program.sh FOLDER
#
# Nothing happens when it is there.  Several may call it at once.  The last line on stderr says why it failed.
set -euo pipefail
export LC_ALL=C

release=trixie
packages='systemd libsystemd-shared libc6 libacl1 libapparmor1 libaudit1 libblkid1 libcap2 libcap-ng0 libcrypt1 libmount1
    libpam0g libpcre2-8-0 libseccomp2 libselinux1 libssl3t64 libzstd1 zlib1g'

cannot() {
    echo "varlinkctl-program.sh: $*" >&2
    exit 1
}

mkdir -p "$1"
folder=$(cd "$1" && pwd)
exec 9>"$folder/lock"
flock 9
[ ! -e "$folder/ready" ] || exit 0
work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

# From where this machine has its packages.
# shellcheck disable=SC2016 # for apt-get
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -E '/debian/?$' | head -n 1)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
{ [ -n "$mirror" ] && [ -e "$keyring" ]; } || cannot "this machine knows no mirror of Debian"
mkdir -p "$work"/{state/lists/partial,cache/archives/partial}
: >"$work/state/status"
echo "deb [signed-by=$keyring] $mirror $release main" >"$work/sources.list"
cat >"$work/apt.conf" <<END
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "$work/state";
Dir::State::status "$work/state/status";
Dir::Cache "$work/cache";
Acquire::Languages "none";
APT::Sandbox::User "root";
END
(
    cd "$work"
    export APT_CONFIG=$work/apt.conf
    timeout 200 apt-get --quiet=2 update
    # shellcheck disable=SC2086 # one word for each package
    timeout 200 apt-get --quiet=2 download $packages
) >&2 || cannot "the packages of Debian's $release can't be downloaded"
mkdir "$work/root"
for package in "$work"/*.deb; do
    dpkg -x "$package" "$work/root"
done
rm -rf "${folder:?}/lib"
mkdir "$folder/lib"
libraries=$(dirname "$work"/root/usr/lib/*/libc.so.6)
cp -P "$libraries"/*.so* "$libraries"/systemd/*.so "$folder/lib/"
cp "$work/root/usr/bin/varlinkctl" "$folder/lib/varlinkctl"
loader=$(basename "$libraries"/ld-linux-*.so.*)
cat >"$folder/varlinkctl" <<END
#!/bin/sh
exec '$folder/lib/$loader' --library-path '$folder/lib' '$folder/lib/varlinkctl' "\$@"
END
chmod +x "$folder/varlinkctl"
"$folder/varlinkctl" --version >&2 || cannot "the program of $release does not run here"
touch "$folder/ready"
