# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what functions.sh sets, and what is set for the tests
# The recipes of nbdcrypt-vm(7), for the tests that run them.  Sourced after functions.sh:
#
#     . "$(dirname "$0")/../support/vm-recipes.sh"
#     run_recipe volumes          in bash; what it prints is in $out
#     recipe boot                 prints it, for what is no command of a shell
#
# A recipe is what stands below its mark in the page, as man(1) shows it.  Its paths are those of $root, its server
# is localhost, its user is $recipe_uid (who runs the test) in $recipe_group, and 10G is $recipe_size.  Who runs the server is
# who runs the test.

page=$source_dir/docs/nbdcrypt-vm.7
root=$test_dir/root
recipe_size=${recipe_size:-128M} recipe_uid=${recipe_uid:-$(id -u)} recipe_group=${recipe_group:-$(id -gn)}
mkdir -p "$root"/{etc/nbdcrypt/keys,etc/pki,run/nbdcrypt,var/lib/nbdcrypt} "$test_dir/bin"
ln -s "$NBDCRYPT" "$test_dir/bin/nbdcrypt"
PATH=$test_dir/bin:$PATH
export RUNTIME_DIRECTORY=$root/run/nbdcrypt # where ctl looks for the control socket
export CREDENTIALS_DIRECTORY=$root/etc/nbdcrypt/keys # as systemd hands the keys over

# Each display of the page has a mark, and each mark a test that runs it.
awk '/^\.\\" example: / { marked = 1; next } /^\.Bd/ && !marked { print NR ": " $0 } { marked = 0 }' "$page" >"$test_dir/unmarked"
expect_equal "displays of the page without a mark" "" "$(cat "$test_dir/unmarked")"
while read -r name; do
    grep -qE "recipe $name([^a-z-]|$)|\"$name\"" "$source_dir"/tests/{support/vm-recipes.sh,vm/*.{sh,py}} || fail "no test runs the recipe $name"
done < <(sed -n 's/^\.\\" example: //p' "$page")

# recipe NAME
recipe() {
    awk -v mark=".\\\\\" example: $1" '
        $0 == mark { marked = 1; next }
        marked && /^\.Bd / { inside = 1; next }
        inside && /^\.Ed/ { exit }
        inside' "$page" | sed -e 's/\\e/\\/g' -e 's/\\&//g' >"$test_dir/recipe"
    [ -s "$test_dir/recipe" ] || fail "the page has no recipe '$1'"
    sed -E -e "s,(^|[^A-Za-z])/(etc/nbdcrypt|etc/pki|run/nbdcrypt|var/lib/nbdcrypt)/,\1$root/\2/,g" \
        -e "s/storage\.example\.org/localhost/g; s/0\.0\.0\.0:10809/127.0.0.1:0/" \
        -e "s/uid:libvirt-qemu/uid:$recipe_uid/; s/unix-group = .*/unix-group = $recipe_group/" \
        -e "s/chown nbdcrypt:/chown $(id -u)/" \
        -e "s/\b10809\b/${port:-10809}/" \
        -e "s/\b10G\b/$recipe_size/g; s/\b21474836480\b/$((2 * $(numfmt --from=iec "$recipe_size")))/" \
        -e "s,tcp:(0\.0\.0\.0|host2\.example\.org):49152,unix:$root/run/migration," \
        -e 's/^( *nbdcrypt format) /\1 --pbkdf pbkdf2 --pbkdf-iterations 1000 /' "$test_dir/recipe"
}

# run_recipe NAME
run_recipe() {
    out=$log_dir/recipe-$1
    recipe "$1" >"$test_dir/script"
    (cd "$root" && bash -euo pipefail "$test_dir/script") >"$out" 2>&1 </dev/null ||
        fail "the recipe $1: $(cat "$test_dir/script" "$out")"
}

# What the page's server needs, and its clients.
make_server_of_page() {
    recipe config >"$root/etc/nbdcrypt/nbdcrypt.conf"
    run_recipe identities
    run_recipe volumes
    cp -R "$root/etc/nbdcrypt/pki/clients/vm1" "$root/etc/pki/vm1"
    mkdir -m 700 "$root/etc/pki/vm1-psk"
    (umask 077 && grep '^vm1:' "$root/etc/nbdcrypt/keys.psk" >"$root/etc/pki/vm1-psk/keys.psk")
}

# serve_page: that server, by start_nbdcrypt; and what the recipe `add` adds to it.
serve_page() {
    start_nbdcrypt --config "$root/etc/nbdcrypt/nbdcrypt.conf" --unix "$root/run/nbdcrypt/nbd.sock"
    run_recipe add
}

# save_recipes NAME...: for programs, each as a file; sets $recipes, their folder.
save_recipes() {
    local name

    recipes=$test_dir/recipes
    mkdir -p "$recipes"
    for name; do
        recipe "$name" >"$recipes/$name"
    done
}

requires_boot_loader() {
    requires command -v syslinux
    requires command -v mcopy
    requires command -v mkfs.fat
    requires command -v sfdisk
    requires test -e /usr/lib/SYSLINUX/mbr.bin
}

# drive_machines SCRIPT RECIPE...: the Python script beside the test, with these recipes.
drive_machines() {
    local script=$1

    shift
    save_recipes "$@"
    GUEST_MACHINE=$(guest_machine) python "$source_dir/tests/vm/$script" "$recipes" "$log_dir" "$root" "$log_dir" ||
        fail "the machine does not do what it should"
}
