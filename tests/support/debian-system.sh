# shellcheck shell=bash
# shellcheck disable=SC2154 # what functions.sh and debian-packages.sh set
# A small Debian with systemd and with what our packages ask for, to install them in.  Sourced after debian-packages.sh, by
# debian-machine.sh and debian-guest.sh:
#
#     debian_unpack FOLDER       takes root
#
# Environment: DEBIAN_CACHE, a folder for the system, which is downloaded once (default: in the folder of the program).

[ "$(id -u)" -eq 0 ] || skip "it takes root to make a system of its own"
requires debootstrap --version
debian_cache=${DEBIAN_CACHE:-$(dirname "$NBDCRYPT")/tests/debian-cache}

# What Debian has to bring, of what they ask for and of what is there to try them.
debian_packages() {
    local package field

    for package in nbdcrypt nbdcrypt-attach nbdcrypt-bench; do
        for field in Depends Recommends; do
            dpkg --field "$(package "$package")" "$field"
        done
    done | tr ',' '\n' | sed -E 's/^ *//; s/[ (|].*//; /^nbdcrypt/d; /^$/d'
    printf '%s\n' systemd libnbd-bin cryptsetup-bin
}

debian_unpack() {
    local archive names

    mapfile -t names < <(debian_packages | sort -u)
    archive=$debian_cache/root-$(echo "${names[@]}" | cat - "$support_dir/debian-root.sh" | sha256sum | cut -c 1-12).tar.gz
    if ! bash "$support_dir/debian-root.sh" "$archive" "${names[@]}" >"$log_dir/debian-root" 2>&1; then
        [ "${CI-}" != true ] || fail "there is no Debian to install packages in, which CI must be able to download"
        skip "there is no Debian to install packages in: $(tail -n 1 "$log_dir/debian-root")"
    fi
    mkdir "$1"
    tar --extract --gunzip --directory "$1" --file "$archive"
    printf 'machine\n' >"$1/etc/hostname"
    : >"$1/etc/fstab"
    # What would look for consoles and for other machines, or work at night.
    for unit in getty.target console-getty.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
        e2scrub_reap.service fstrim.timer systemd-logind.service systemd-networkd.service; do
        ln -sf /dev/null "$1/etc/systemd/system/$unit"
    done
}

# debian_steps FILE: the README's steps from a package to a disk, as they are, for who is root already; a key is derived quickly.
debian_steps() {
    sed -n '/^## From a package/,/^## /p' "$package_sources/README.md" | sed -n 's/^    //p' | sed 's/  *#.*//' |
        sed -E 's/^sudo -u (\S+)/runuser -u \1 --/; s/^sudo //; s/nbdcrypt format/& --pbkdf pbkdf2 --pbkdf-iterations 1000/'
}
