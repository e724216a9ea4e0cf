#!/bin/bash
# Makes FOLDER/PROGRAM: programs of a newer Debian than this one may be, with the libraries that they want; packages are
# downloaded and unpacked, but not installed (some 15 MB, and the list of them, 10 MB).
#
#     newer-programs.sh FOLDER 'PROGRAM...' 'PACKAGE...'
#
# Nothing happens when they are there.  Several may call it at once.  The last line on stderr says why it failed.
set -euo pipefail
export LC_ALL=C

release=trixie
programs=$2 packages="libc6 $3"

cannot() {
    echo "newer-programs.sh: $*" >&2
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
cp -P "$libraries"/*.so* "$folder/lib/"
[ ! -d "$libraries/systemd" ] || cp -P "$libraries"/systemd/*.so "$folder/lib/"
loader=$(basename "$libraries"/ld-linux-*.so.*)
for program in $programs; do
    cp "$work/root/usr/bin/$program" "$folder/lib/$program"
    cat >"$folder/$program" <<END
#!/bin/sh
exec '$folder/lib/$loader' --library-path '$folder/lib' '$folder/lib/$program' "\$@"
END
    chmod +x "$folder/$program"
    "$folder/$program" --version >&2 || cannot "$program of $release does not run here"
done
touch "$folder/ready"
