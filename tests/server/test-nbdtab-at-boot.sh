#!/bin/bash
# What is attached at boot: each line of nbdtab without noauto is a unit, whatever is wrong in others, and a thousand lines
# start no thousand programs.
. "$(dirname "$0")/../support/functions.sh"

requires systemd-escape x
work=$(temp_dir)
sed "s#^tab=.*#tab=$work/tab#" "$source_dir/dist/systemd/nbdcrypt-attach-generator.in" >"$work/generator"
mkdir "$work/bin"
printf '#!/bin/sh\necho x >>"%s"\nexec "%s" "$@"\n' "$work/calls" "$(command -v systemd-escape)" >"$work/bin/systemd-escape"
chmod +x "$work/bin/systemd-escape"

# generate: what systemd would start for the lines in `tab`.
generate() {
    rm -rf "$work/generated" "$work/calls"
    mkdir "$work/generated"
    PATH=$work/bin:$PATH sh "$work/generator" "$work/generated" || fail "the generator of nbdcrypt-attach@.service"
    find "$work/generated" -name '*.conf' -exec cat {} +
}
expect_units() {
    { echo '[Unit]' && printf 'Wants=nbdcrypt-attach@%s.service\n' "$@"; } >"$work/expected"
    generate | diff "$work/expected" - || fail "other units than those of the lines"
}

[ -z "$(generate)" ] || fail "there are units without nbdtab"
{
    printf '# comment\n\nwrong\nso is this one\n\tvm7 vm7\nnot\tvm7\tread-only,noauto\r\nno vm7 noauto\n'
    printf '* nbd://h/x timeout=10\n%%n-1 \\y\r\nlast vm7'
} >"$work/tab"
expect_units vm7 '\x2a' '\x25n\x2d1' last

printf '\n%0600d vm7\nafter vm7\n' 0 >>"$work/tab" # no unit can have such a name
expect_units vm7 '\x2a' '\x25n\x2d1' last after

seq 1000 | sed 's,.*,disk& nbd://storage/disk& timeout=10,' >"$work/tab"
[ "$(generate | grep -c '^Wants=')" -eq 1000 ] || fail "a thousand lines have not a thousand units"
[ "$(wc -l <"$work/calls")" -eq 1 ] || fail "a thousand lines started $(wc -l <"$work/calls") programs"
