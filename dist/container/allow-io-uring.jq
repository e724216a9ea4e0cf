# Adds to a seccomp profile of docker, podman or containerd what nbdcrypt calls and they forbid or may not know:
#
#     jq --from-file allow-io-uring.jq default.json > nbdcrypt.json
.syscalls += [{
  "names": [
    "io_uring_setup", "io_uring_enter", "io_uring_register",
    "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
    "memfd_secret"
  ],
  "action": "SCMP_ACT_ALLOW"
}]
