#include "server/report/report-view.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define WIDTH 72u
#define DIGITS_MAX 20u

/* ---- bytes ---- */

static void copy_out(struct report_out *out)
{
    if (out->error == 0 && out->used_bytes >= out->room_bytes)
        out->error = -ENOSPC;
    if (out->error != 0)
        return;
    memcpy(out->memory, out->bytes, out->used_bytes);
    out->memory += out->used_bytes;
    out->room_bytes -= out->used_bytes;
    *out->memory = '\0';
}

static void write_out(struct report_out *out)
{
    size_t done = 0;

    if (out->memory != NULL) {
        copy_out(out);
        out->used_bytes = 0;
        return;
    }
    while (out->error == 0 && done < out->used_bytes) {
        struct pollfd poller = { .fd = out->fd, .events = POLLOUT };

        if (out->wait_ms > 0 && poll(&poller, 1, (int)out->wait_ms) == 0) {
            out->error = -ETIMEDOUT;
            break;
        }
        ssize_t written = write(out->fd, out->bytes + done, out->used_bytes - done);
        if (written >= 0)
            done += (size_t)written;
        else if (errno != EINTR && (errno != EAGAIN || out->wait_ms == 0))
            out->error = -errno;
    }
    out->used_bytes = 0;
}

static void put_bytes(struct report_out *out, const char *bytes, size_t count)
{
    while (count > 0) {
        size_t room = sizeof out->bytes - out->used_bytes, part = count < room ? count : room;

        memcpy(out->bytes + out->used_bytes, bytes, part);
        out->used_bytes += part;
        bytes += part;
        count -= part;
        if (out->used_bytes == sizeof out->bytes)
            write_out(out);
    }
}

static void put(struct report_out *out, const char *text)
{
    put_bytes(out, text, strlen(text));
}

static void put_times(struct report_out *out, const char *text, size_t times)
{
    while (times-- > 0)
        put(out, text);
}

static void put_number(struct report_out *out, uint64_t number)
{
    char text[DIGITS_MAX], *at = text + sizeof text;

    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    put_bytes(out, at, (size_t)(text + sizeof text - at));
}

int report_out_end(struct report_out *out)
{
    write_out(out);
    return out->error;
}

/* ---- text ---- */

static bool is_group(const struct report_node *node)
{
    return node->kind == REPORT_OBJECT || node->kind == REPORT_LIST;
}

/* Further lines of a text stand under the first one. */
static void put_lines(struct report_out *out, const char *text, size_t indent)
{
    while (true) {
        size_t length = strcspn(text, "\n");

        put_bytes(out, text, length);
        text += length;
        if (*text == '\0')
            return;
        put(out, "\n");
        put_times(out, " ", indent);
        text++;
    }
}

static void put_value(struct report_out *out, const struct report_node *node, size_t indent)
{
    if (node->name != NULL) {
        put(out, node->name);
        put(out, " = ");
    }
    if (node->kind == REPORT_TEXT)
        put_lines(out, node->text, indent + 2);
    else if (node->kind == REPORT_NUMBER)
        put_number(out, node->number);
    else
        put(out, node->flag ? "yes" : "no");
}

/* The values of an object of a list are on one line; what has parts comes behind it. */
static void put_item(struct report_out *out, const struct report_node *item, size_t indent);

static void put_group(struct report_out *out, const struct report_node *group, size_t indent)
{
    put_times(out, " ", indent);
    put(out, group->name);
    put(out, group->first != NULL ? ":\n" : ": none\n");
    for (const struct report_node *node = group->first; node != NULL; node = node->next)
        put_item(out, node, indent + 2);
}

static void put_item(struct report_out *out, const struct report_node *item, size_t indent)
{
    const char *between = "";

    put_times(out, " ", indent);
    if (!is_group(item)) {
        put_value(out, item, indent);
        put(out, "\n");
        return;
    }
    if (item->name != NULL) {
        put(out, item->name);
        put(out, ": ");
    }
    for (const struct report_node *node = item->first; node != NULL; node = node->next) {
        if (is_group(node))
            continue;
        put(out, between);
        put_value(out, node, indent);
        between = "  ";
    }
    put(out, "\n");
    for (const struct report_node *node = item->first; node != NULL; node = node->next)
        if (is_group(node))
            put_group(out, node, indent + 2);
}

static void put_nodes(struct report_out *out, const struct report_node *of)
{
    for (const struct report_node *node = of->first; node != NULL; node = node->next) {
        if (is_group(node)) {
            put_group(out, node, 0);
        } else {
            put_value(out, node, 0);
            put(out, "\n");
        }
    }
}

static void put_title(struct report_out *out, const char *title)
{
    size_t room = WIDTH - 8 - strlen(title);

    put(out, "====");
    put_times(out, " ", room / 2);
    put(out, title);
    put_times(out, " ", room - room / 2);
    put(out, "====\n");
}

static void put_section(struct report_out *out, const struct report_node *section)
{
    char title[WIDTH - 8];
    size_t length = 0;

    for (; section->name[length] != '\0' && length < sizeof title - 1; length++) {
        title[length] = section->name[length];
        if (title[length] == '_')
            title[length] = ' ';
    }
    title[length] = '\0';
    title[0] = (char)(title[0] - 'a' + 'A');
    put_title(out, title);
    put_nodes(out, section);
}

static const struct report_node *sections_of(const struct report_tree *tree)
{
    static const struct report_node none = { .kind = REPORT_OBJECT };
    const struct report_node *sections = report_find(&tree->root, "sections");

    return sections != NULL ? sections : &none;
}

void report_write_text(struct report_out *out, const struct report_tree *const *trees, size_t count)
{
    put_times(out, "=", WIDTH);
    put(out, "\n");
    put_title(out, "Guru Meditation");
    put_times(out, "=", WIDTH);
    put(out, "\n");
    for (const struct report_node *node = trees[0]->root.first; node != NULL; node = node->next) {
        if (is_group(node))
            continue;
        put_value(out, node, 0);
        put(out, "\n");
    }
    for (size_t i = 0; i < count; i++)
        for (const struct report_node *section = sections_of(trees[i])->first; section != NULL;
             section = section->next)
            put_section(out, section);
    put_times(out, "=", WIDTH);
    put(out, "\n");
}

/* ---- JSON (RFC 8259) ---- */

static void put_json_text(struct report_out *out, const char *text)
{
    put(out, "\"");
    while (*text != '\0') {
        size_t length = strcspn(text, "\"\\\n");

        put_bytes(out, text, length);
        text += length;
        if (*text == '\0')
            break;
        put(out, *text == '\n' ? "\\n" : *text == '"' ? "\\\"" : "\\\\");
        text++;
    }
    put(out, "\"");
}

static void put_json(struct report_out *out, const struct report_node *node, size_t indent);

static void put_json_nodes(struct report_out *out, const struct report_node *first, size_t indent)
{
    for (const struct report_node *node = first; node != NULL; node = node->next) {
        put(out, "\n");
        put_times(out, " ", indent);
        put_json(out, node, indent);
        if (node->next != NULL)
            put(out, ",");
    }
}

static void put_json(struct report_out *out, const struct report_node *node, size_t indent)
{
    if (node->name != NULL) {
        put_json_text(out, node->name);
        put(out, ": ");
    }
    if (node->kind == REPORT_TEXT) {
        put_json_text(out, node->text);
    } else if (node->kind == REPORT_NUMBER) {
        put_number(out, node->number);
    } else if (node->kind == REPORT_FLAG) {
        put(out, node->flag ? "true" : "false");
    } else {
        put(out, node->kind == REPORT_OBJECT ? "{" : "[");
        put_json_nodes(out, node->first, indent + 1);
        put(out, node->kind == REPORT_OBJECT ? "}" : "]");
    }
}

void report_write_json(struct report_out *out, const struct report_tree *const *trees, size_t count)
{
    const char *between = "";

    put(out, "{");
    for (const struct report_node *node = trees[0]->root.first; node != NULL; node = node->next) {
        if (is_group(node))
            continue;
        put(out, "\n ");
        put_json(out, node, 1);
        put(out, ",");
    }
    put(out, "\n \"sections\": {");
    for (size_t i = 0; i < count; i++) {
        const struct report_node *first = sections_of(trees[i])->first;

        if (first == NULL)
            continue;
        put(out, between);
        put_json_nodes(out, first, 2);
        between = ",";
    }
    put(out, "}\n}\n");
}
