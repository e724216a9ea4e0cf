/* In a build without libnbd. */
#include "bench/libnbd-client.h"

#include <assert.h>
#include <errno.h>

int libnbd_client_create(struct libnbd_client **out, const struct libnbd_client_config *config,
                         struct export_info *info, struct error *err)
{
    (void)out;
    (void)config;
    (void)info;
    return error_set(err, -ENOSYS,
                     "--client libnbd: this nbdcrypt-bench was built without libnbd; install its "
                     "development files (Debian package libnbd-dev, Fedora libnbd-devel), run "
                     "configure and build again");
}

/* There is none to be called with. */
void libnbd_client_destroy(struct libnbd_client *client)
{
    assert(client == NULL);
}

void libnbd_client_attach(struct libnbd_client *client, struct loop *loop, struct scratch *scratch,
                          const struct client_owner_ops *ops, void *owner)
{
    (void)loop;
    (void)scratch;
    (void)ops;
    (void)owner;
    assert(client == NULL);
}

unsigned libnbd_client_in_flight(const struct libnbd_client *client)
{
    assert(client == NULL);
    return 0;
}

void libnbd_client_abort(struct libnbd_client *client, const struct error *err)
{
    (void)err;
    assert(client == NULL);
}

void libnbd_client_detach(struct libnbd_client *client)
{
    assert(client == NULL);
}
