#include "server/base/argv.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\n"

void argv_free(char **words)
{
    if (words)
        free(words[0]); /* all of them lie there */
    free(words);
}

/* One word from *from on to *to, with its NUL; false: a quote has no end. */
static bool take_word(const char **from, char **to)
{
    const char *in = *from;
    char *out = *to, quote = '\0';

    for (; *in && (quote || !strchr(BLANKS, *in)); in++) {
        if (quote ? *in == quote : *in == '\'' || *in == '"')
            quote = (char)(quote ? '\0' : *in);
        else if (*in == '\\' && quote != '\'' && in[1])
            *out++ = *++in;
        else
            *out++ = *in;
    }
    *out++ = '\0';
    *from = in;
    *to = out;
    return !quote;
}

int argv_split(char ***out, const char *text, struct error *err)
{
    size_t length = strlen(text), count = 0;
    char **words = calloc(length / 2 + 2, sizeof *words);
    char *to = malloc(length + 2); /* each word takes at most the blank behind it for its NUL */

    if (words == NULL || to == NULL) {
        free(words);
        free(to);
        return error_no_memory(err, "for a command");
    }
    words[0] = to;
    for (text += strspn(text, BLANKS); *text; text += strspn(text, BLANKS)) {
        words[count++] = to;
        if (take_word(&text, &to))
            continue;
        argv_free(words);
        return error_set(err, -EINVAL, "a quotation mark in it has no partner");
    }
    if (count == 0 || !*words[0]) {
        argv_free(words);
        return error_set(err, -EINVAL, "it names no program");
    }
    *out = words;
    return 0;
}
