/* A file is taken for one that no loop device has only where that was found out. */
#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/file/file-loop.h"
#include "tests/support/check.h"

static int look(void)
{
    char path[] = "/tmp/nbdcrypt-test-XXXXXX", name[FILE_LOOP_NAME_BYTES];
    struct rlimit limit;
    struct stat status;
    int fd = mkstemp(path);

    EXPECT(fd >= 0 && fstat(fd, &status) == 0 && unlink(path) == 0 && close(fd) == 0);
    int result = file_loop_find(name, &status, true);
    EXPECT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 0;
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    EXPECT(file_loop_find(name, &status, true) == -EMFILE);
    limit.rlim_cur = limit.rlim_max;
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    return result;
}

int main(void)
{
    EXPECT(look() == 0);
    return EXIT_SUCCESS;
}
