/* Preloaded: libmicrohttpd's answers never come.  The file that HANGING_HTTP names says when one of
 * them was asked for. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int MHD_queue_response(void *connection, unsigned status, void *response);

int MHD_queue_response(void *connection, unsigned status, void *response)
{
    const char *file = getenv("HANGING_HTTP");
    int fd = file != NULL ? open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600) : -1;

    (void)connection;
    (void)status;
    (void)response;
    if (fd >= 0)
        close(fd);
    for (;;)
        pause();
}
