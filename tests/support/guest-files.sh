# shellcheck shell=bash
# Putting files into the initramfs of a guest: for guest-image.sh and guest.sh.

# guest_skeleton ROOT: the folders that are links everywhere.
guest_skeleton() {
    local folder

    mkdir -p "$1"/usr/{bin,sbin,lib,lib64}
    for folder in bin sbin lib lib64; do
        ln -s "usr/$folder" "$1/$folder"
    done
}

# guest_put ROOT FILE DESTINATION: a program takes its shared libraries along.
guest_put() {
    local root=$1 file=$2 destination=$3 library

    mkdir -p "$root/$(dirname "$destination")"
    cp --dereference "$file" "$root/$destination"
    [ -x "$file" ] || return 0
    { ldd "$file" 2>/dev/null || true; } | sed -n 's,^[^/]*\(/[^ ]*\) (0x.*,\1,p' | while read -r library; do
        [ ! -e "$root/$library" ] || continue
        mkdir -p "$root/$(dirname "$library")"
        cp --dereference "$library" "$root/$library"
    done
}

# guest_pack ROOT: the archive on stdout; all of it is root's, whoever makes it.
guest_pack() {
    (cd "$1" && find . | sort | busybox cpio -o -H newc -R 0:0 2>/dev/null)
}
