#include "server/cli/ctl-suspend.h"

int ctl_suspend(struct ctl *ctl)
{
    return ctl_change_with_key(ctl, "Suspend", ctl_operand(ctl, "name"), -1);
}

int ctl_resume(struct ctl *ctl)
{
    int key_fd = ctl->options.key_fd > 0 ? (int)ctl->options.key_fd : -1;

    return ctl_change_with_key(ctl, "Resume", ctl_operand(ctl, "name"), key_fd);
}
