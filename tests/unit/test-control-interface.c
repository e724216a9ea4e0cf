/* The text of the control socket's interfaces, and the tables that do what it says, agree. */
#include <string.h>

#include "server/control/control-board.h"
#include "server/control/control-interface.h"
#include "server/control/control-metadata.h"
#include "server/control/control-report.h"
#include "server/control/control-metrics.h"
#include "server/serve/control-exports.h"
#include "tests/support/check.h"

/* "method NAME(...)", up to the end of its parameters; "": there is none. */
static const char *declaration(const char *name)
{
    static char text[2048];
    char begin[128], interface[128];
    const char *dot = strrchr(name, '.');

    EXPECT(dot != NULL);
    snprintf(interface, sizeof interface, "%.*s", (int)(dot - name), name);
    snprintf(begin, sizeof begin, "\nmethod %s(", dot + 1);
    EXPECT(control_interface_text(interface) != NULL);
    const char *found = strstr(control_interface_text(interface), begin);
    if (found == NULL)
        return "";
    snprintf(text, sizeof text, "%.*s", (int)(strchr(found, ')') - found), found);
    return text;
}

static bool names(const char *text, const char *param)
{
    char typed[64];

    snprintf(typed, sizeof typed, "%s:", param);
    return strstr(text, typed) != NULL;
}

static size_t members_of(const char *text)
{
    size_t count = 0;

    for (; (text = strchr(text, ':')) != NULL; text++)
        count++;
    return count;
}

static void check_table(const struct control_method *table)
{
    for (; table->name != NULL; table++) {
        const char *text = declaration(table->name);
        size_t count = 0;

        EXPECT(text[0] != '\0');
        for (; count < CONTROL_PARAMS_MAX && table->params[count].name != NULL; count++)
            EXPECT(names(text, table->params[count].name));
        EXPECT(table->changes == names(text, "if_revision"));
        EXPECT(members_of(text) == count + table->changes);
        EXPECT(table->run != NULL);
    }
}

static void methods_are_declared(void)
{
    check_table(control_methods);
    check_table(control_export_methods);
    check_table(control_metadata_methods);
    check_table(control_board_methods);
    check_table(control_report_methods);
    check_table(control_metrics_methods);
}

static bool is_in(const struct control_method *table, const char *name)
{
    for (; table->name != NULL; table++)
        if (strcmp(table->name, name) == 0)
            return true;
    return false;
}

static void check_interface(const char *interface)
{
    static const char word[] = "\nmethod ";
    const char *at = control_interface_text(interface);
    unsigned count = 0;

    while ((at = strstr(at, word)) != NULL) {
        char name[128];

        at += sizeof word - 1;
        snprintf(name, sizeof name, "%s.%.*s", interface, (int)strcspn(at, "("), at);
        EXPECT(is_in(control_methods, name) || is_in(control_export_methods, name) ||
               is_in(control_metadata_methods, name) || is_in(control_board_methods, name) ||
               is_in(control_report_methods, name) || is_in(control_metrics_methods, name));
        count++;
    }
    EXPECT(count >= 2);
}

static void what_is_declared_is_there(void)
{
    check_interface("org.varlink.service");
    check_interface("org.nbdcrypt");
}

static void methods_that_look_need_no_more_than_view(void)
{
    for (const struct control_method *one = control_methods; one->name != NULL; one++)
        EXPECT(!one->changes || one->role > CONTROL_VIEW);
    for (const struct control_method *one = control_export_methods; one->name != NULL; one++)
        EXPECT(one->changes && one->role > CONTROL_VIEW);
}

static const struct check checks[] = {
    { "each method is declared, with its parameters", methods_are_declared },
    { "each method that is declared is there", what_is_declared_is_there },
    { "who may only look changes nothing", methods_that_look_need_no_more_than_view },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
