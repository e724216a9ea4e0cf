/* Drop-in folders: their order, masking, and whose files are believed. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/config/config-folder.h"
#include "tests/support/check.h"

static char top[] = "/tmp/test-config-folder-XXXXXX";
static struct config_file config;

static char *path_of(const char *name)
{
    char *path;

    EXPECT(asprintf(&path, "%s/%s", top, name) > 0);
    return path;
}

static void put(const char *name, const char *text, mode_t mode)
{
    char *path = path_of(name);
    FILE *file = fopen(path, "w");

    EXPECT(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    EXPECT(chmod(path, mode) == 0);
    free(path);
}

static void make_folder(const char *name, mode_t mode)
{
    char *path = path_of(name);

    EXPECT(mkdir(path, 0700) == 0 && chmod(path, mode) == 0);
    free(path);
}

static void set_mode(const char *name, mode_t mode)
{
    char *path = path_of(name);

    EXPECT(chmod(path, mode) == 0);
    free(path);
}

static void mask(const char *name)
{
    char *path = path_of(name);

    EXPECT(symlink("/dev/null", path) == 0);
    free(path);
}

static void read_with(const char *const *folders, size_t count)
{
    char *file = path_of("main.conf"), *paths[4];

    for (size_t i = 0; i < count; i++)
        paths[i] = path_of(folders[i]);
    config_file_free(&config);
    EXPECT(config_folder_read(&config, file, (const char *const *)paths, count, false, NULL) == 0);
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
    free(file);
}

/* The values of all entries, one behind the other. */
static void values_are(const char *expected)
{
    char values[256] = "";
    size_t used = 0;

    for (size_t i = 0; i < config.entry_count; i++) {
        int bytes = snprintf(values + used, sizeof values - used, "%s%s", i > 0 ? " " : "",
                             config.entries[i].value);

        EXPECT(bytes > 0 && (size_t)bytes < sizeof values - used);
        used += (size_t)bytes;
    }
    EXPECT_TEXT(values, expected);
}

static void problem_is(const char *name, const char *words)
{
    EXPECT(config.problems.count == 1);
    EXPECT_TEXT(strrchr(config.problems.items[0].place.file, '/') + 1, name);
    EXPECT(config.problems.items[0].place.line == 0);
    if (strstr(config.problems.items[0].text, words) == NULL)
        EXPECT_TEXT(config.problems.items[0].text, words);
}

static void order(void)
{
    const char *const folders[] = { "second", "first" };

    put("main.conf", "[s]\nv=main\n", 0600);
    make_folder("conf.d", 0700);
    put("conf.d/a.conf", "[s]\nv=beside\n", 0644);
    make_folder("first", 0755);
    make_folder("second", 0755);
    put("first/b.conf", "[s]\nv=1b\n", 0600);
    put("first/B.conf", "[s]\nv=1B\n", 0600);
    put("first/.c.conf", "[s]\nv=hidden\n", 0600);
    put("first/d.conf~", "[s]\nv=backup\n", 0600);
    put("first/.conf", "[s]\nv=nameless\n", 0600);
    put("second/10.conf", "[s]\nv=2-10\n", 0600);
    put("second/9.conf", "[s]\nv=2-9\n", 0600);
    read_with(NULL, 0);
    values_are("main beside");
    read_with(folders, 2);
    values_are("main 2-10 2-9 1B 1b");
    EXPECT(config.problems.count == 0);
}

static void masked(void)
{
    const char *const folders[] = { "first", "second" };

    mask("second/b.conf");
    mask("first/9.conf");
    read_with(folders, 2);
    values_are("main 1B 2-10");
    EXPECT(config.problems.count == 0);
}

static void absent(void)
{
    const char *const folders[] = { "first", "thrid" };

    read_with(folders, 2);
    values_are("main 1B 1b");
    problem_is("thrid", "No such file");
}

static void distrusted(void)
{
    const char *const folders[] = { "first" };

    set_mode("first/B.conf", 0620);
    read_with(folders, 1);
    values_are("main 1b");
    problem_is("B.conf", "others may write this file: chmod go-w it");
    set_mode("first/B.conf", 0602);
    read_with(folders, 1);
    problem_is("B.conf", "others may write this file");
    set_mode("first/B.conf", 0600);
    set_mode("first", 0777);
    read_with(folders, 1);
    values_are("main");
    problem_is("first", "others may write in this folder");
    set_mode("first", 0755);
    if (geteuid() != 0)
        return;
    char *path = path_of("first/B.conf"), *file = path_of("main.conf"), *folder = path_of("first");
    EXPECT(chown(path, 12345, 0) == 0);
    read_with(folders, 1);
    problem_is("B.conf", "neither root nor");
    config_file_free(&config);
    EXPECT(config_folder_read(&config, file, (const char *const[]){ folder }, 1, true, NULL) == 0);
    values_are("main 1B 1b");
    EXPECT(chown(path, 0, 0) == 0);
    free(path);
    free(file);
    free(folder);
}

static void too_large(void)
{
    const char *const folders[] = { "first" };
    char *path = path_of("first/B.conf");
    char *text = malloc(CONFIG_FILE_BYTES_MAX + 2);

    EXPECT(text != NULL);
    memset(text, '\n', CONFIG_FILE_BYTES_MAX + 1);
    text[CONFIG_FILE_BYTES_MAX + 1] = '\0';
    put("first/B.conf", text, 0600);
    read_with(folders, 1);
    values_are("main 1b");
    problem_is("B.conf", "more than 1 MiB");
    text[CONFIG_FILE_BYTES_MAX] = '\0';
    put("first/B.conf", text, 0600);
    read_with(folders, 1);
    EXPECT(config.problems.count == 0);
    free(text);
    EXPECT(unlink(path) == 0 && mkfifo(path, 0600) == 0);
    read_with(folders, 1);
    problem_is("B.conf", "not a regular file");
    free(path);
}

static void clean_up(void)
{
    char *command;

    static const char *const names[] = { "second/10.conf", "second/9.conf", "second/b.conf",
                                         "second",         "first/b.conf",  "first/B.conf",
                                         "first/.c.conf",  "first/d.conf~", "first/.conf",
                                         "first/9.conf",   "first",         "conf.d/a.conf",
                                         "conf.d",         "main.conf",     "" };

    config_file_free(&config);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        command = path_of(names[i]);
        (void)remove(command);
        free(command);
    }
}

static const struct check checks[] = {
    { "files come in the order of folders, and of bytes in them", order },
    { "a link to /dev/null masks files of its name in all folders", masked },
    { "a folder that was named must be there", absent },
    { "what others can write is not believed", distrusted },
    { "a file has its bounds, and a pipe is none", too_large },
};

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    umask(022);
    EXPECT(mkdtemp(top) != NULL);
    EXPECT(atexit(clean_up) == 0);
    return CHECKS_RUN(checks, 0, argv); /* each goes on where the one before ended */
}
