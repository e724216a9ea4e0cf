#include "server/report/report-modules.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/report/proc-file.h"

static struct {
    const uint8_t *file; /* the program's; NULL: it can't be read */
    size_t bytes;
    const ElfW(Sym) * symbols;
    size_t symbol_count;
    const char *names;
    size_t names_bytes;
    uint64_t
        first; /* the address of its beginning, as the linker had it: 0 where it can lie anywhere */
    char build_id[REPORT_BUILD_ID_BYTES];
} program;

/* ---- the program's own file ---- */

static bool is_inside(uint64_t offset, uint64_t bytes)
{
    return offset <= program.bytes && bytes <= program.bytes - offset;
}

static void map_program(void)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat status;

    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && status.st_size > (off_t)sizeof(ElfW(Ehdr))) {
        void *file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

        if (file != MAP_FAILED) {
            program.file = file;
            program.bytes = (size_t)status.st_size;
        }
    }
    close(fd);
}

static void find_symbols(void)
{
    const ElfW(Ehdr) *header = (const void *)program.file;

    if (header->e_shentsize != sizeof(ElfW(Shdr)) ||
        !is_inside(header->e_shoff, (uint64_t)header->e_shnum * sizeof(ElfW(Shdr))))
        return;
    const ElfW(Shdr) *sections = (const void *)(program.file + header->e_shoff);
    for (size_t i = 0; i < header->e_shnum; i++) {
        const ElfW(Shdr) *one = &sections[i];

        if (one->sh_type != SHT_SYMTAB || one->sh_link >= header->e_shnum)
            continue;
        const ElfW(Shdr) *names = &sections[one->sh_link];
        if (!is_inside(one->sh_offset, one->sh_size) ||
            !is_inside(names->sh_offset, names->sh_size) || names->sh_size == 0 ||
            program.file[names->sh_offset + names->sh_size - 1] != '\0')
            return;
        program.symbols = (const void *)(program.file + one->sh_offset);
        program.symbol_count = one->sh_size / sizeof *program.symbols;
        program.names = (const char *)program.file + names->sh_offset;
        program.names_bytes = names->sh_size;
    }
}

static void take_build_id(const uint8_t *note, const uint8_t *end)
{
    while ((size_t)(end - note) >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *header = (const void *)note;
        size_t name_bytes = (header->n_namesz + 3u) & ~3u;
        size_t bytes = (header->n_descsz + 3u) & ~3u;

        note += sizeof *header;
        if (name_bytes + bytes > (size_t)(end - note))
            return;
        if (header->n_type == NT_GNU_BUILD_ID && header->n_namesz == 4 &&
            memcmp(note, "GNU", 4) == 0)
            for (size_t i = 0; i < header->n_descsz && 2 * i + 2 < sizeof program.build_id; i++)
                (void)snprintf(program.build_id + 2 * i, 3, "%02x", note[name_bytes + i]);
        note += name_bytes + bytes;
    }
}

static void read_program_header(void)
{
    const ElfW(Ehdr) *header = (const void *)program.file;

    if (header->e_phentsize != sizeof(ElfW(Phdr)) ||
        !is_inside(header->e_phoff, (uint64_t)header->e_phnum * sizeof(ElfW(Phdr))))
        return;
    const ElfW(Phdr) *parts = (const void *)(program.file + header->e_phoff);
    for (size_t i = header->e_phnum; i-- > 0;)
        if (parts[i].p_type == PT_LOAD && parts[i].p_offset == 0)
            program.first = parts[i].p_vaddr;
    for (size_t i = 0; i < header->e_phnum; i++)
        if (parts[i].p_type == PT_NOTE && is_inside(parts[i].p_offset, parts[i].p_filesz))
            take_build_id(program.file + parts[i].p_offset,
                          program.file + parts[i].p_offset + parts[i].p_filesz);
}

void report_modules_start(void)
{
    if (program.file != NULL)
        return;
    map_program();
    if (program.file == NULL || memcmp(program.file, ELFMAG, SELFMAG) != 0)
        return;
    find_symbols();
    read_program_header();
}

const char *report_build_id(void)
{
    return program.build_id;
}

const char *report_function_at(uint64_t offset, uint64_t *within)
{
    const ElfW(Sym) *found = NULL;

    offset += program.first;
    for (size_t i = 0; i < program.symbol_count; i++) {
        const ElfW(Sym) *one = &program.symbols[i];

        if (ELF64_ST_TYPE(one->st_info) == STT_FUNC && one->st_value <= offset &&
            offset - one->st_value < one->st_size && one->st_name < program.names_bytes)
            found = one;
    }
    if (found == NULL)
        return NULL;
    *within = offset - found->st_value;
    return program.names + found->st_name;
}

/* ---- what is mapped ---- */

static uint64_t hexadecimal(const char **text)
{
    uint64_t number = 0;

    for (;; ++*text) {
        char c = **text;

        if (c >= '0' && c <= '9')
            number = number * 16 + (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number * 16 + (uint64_t)(c - 'a' + 10);
        else
            return number;
    }
}

static void note_mapping(struct report_modules *out, uint64_t start, uint64_t end, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    struct report_module *module = out->count > 0 ? &out->modules[out->count - 1] : NULL;
    size_t length = strnlen(name, REPORT_MODULE_BYTES - 1);

    if (module != NULL && strncmp(module->name, name, length) == 0 &&
        module->name[length] == '\0') {
        module->end = end;
        return;
    }
    if (out->count == REPORT_MODULES_MAX)
        return;
    module = &out->modules[out->count++];
    *module = (struct report_module){ .start = start, .end = end };
    memcpy(module->name, name, length);
}

/* "55d0...-55d1... r-xp 00000000 fe:01 1234   /usr/bin/nbdcrypt": the mappings of a file stand
 * together, in the order of their addresses. */
void report_modules_read(struct report_modules *out)
{
    struct proc_lines lines;
    const char *line;

    out->count = 0;
    proc_lines_open(&lines, "/proc/self/maps");
    while ((line = proc_lines_next(&lines)) != NULL) {
        uint64_t start = hexadecimal(&line), end;
        const char *path = strchr(line, '/');

        if (*line != '-' || path == NULL || strncmp(path, "/dev/", 5) == 0 ||
            strncmp(path, "/memfd:", 7) == 0)
            continue;
        line++;
        end = hexadecimal(&line);
        note_mapping(out, start, end, path);
    }
    uint64_t here = (uint64_t)(uintptr_t)report_modules_read;
    for (size_t i = 0; i < out->count; i++)
        out->modules[i].is_program = here >= out->modules[i].start && here < out->modules[i].end;
}

const struct report_module *report_module_of(const struct report_modules *modules, uint64_t address)
{
    for (size_t i = 0; i < modules->count; i++)
        if (address >= modules->modules[i].start && address < modules->modules[i].end)
            return &modules->modules[i];
    return NULL;
}
