#include "server/access/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/access/dn.h"

#define CONDITIONS_MAX 8u
#define KINDS_TEXT "cert:, dns:, uri:, psk:, uid:, gid: or net:"
#define DNS_NAME_BYTES_MAX 253u /* RFC 1035 section 2.3.4, as text */
#define DNS_LABEL_BYTES_MAX 63u

struct network {
    int family;
    unsigned prefix_bits;
    uint8_t address[sizeof(struct in6_addr)];
};

struct condition {
    const struct kind *kind;
    const char *value; /* part of the rule's `pieces` */
    union {
        uint32_t id;
        struct network network;
    } parsed;
};

struct kind {
    const char *name;
    enum access_way way;
    bool repeatable; /* a client can have several of these */
    int (*parse)(struct condition *condition, struct error *err);
    bool (*matches)(const struct condition *condition, const struct peer *peer);
};

struct rule {
    char *text;   /* as written */
    char *pieces; /* a copy, cut into conditions */
    struct condition conditions[CONDITIONS_MAX];
    size_t condition_count;
    unsigned ways; /* all that a client needs */
};

struct access {
    size_t rule_count;
    struct rule rules[];
};

/* ---- cert, psk, uri ---- */

static int parse_cert(struct condition *condition, struct error *err)
{
    return dn_check(condition->value, err);
}

static bool matches_cert(const struct condition *condition, const struct peer *peer)
{
    return peer->proof == PEER_CERTIFICATE && peer->identity != NULL &&
           dn_equal(condition->value, peer->identity);
}

static int parse_text(struct condition *condition, struct error *err)
{
    (void)condition;
    (void)err;
    return 0;
}

static bool matches_psk(const struct condition *condition, const struct peer *peer)
{
    return peer->proof == PEER_PSK && peer->identity != NULL &&
           !strcmp(condition->value, peer->identity);
}

static bool matches_uri(const struct condition *condition, const struct peer *peer)
{
    if (peer->proof != PEER_CERTIFICATE)
        return false;
    for (char **uri = peer->uris; uri != NULL && *uri; uri++) {
        if (!strcmp(*uri, condition->value))
            return true;
    }
    return false;
}

/* ---- dns ---- */

/* The length of a label of letters, digits, '-' and '_'; 0: none begins here. */
static size_t label_bytes(const char *at)
{
    size_t bytes = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

    return bytes <= DNS_LABEL_BYTES_MAX ? bytes : 0;
}

static bool is_dns_name(const char *name)
{
    size_t bytes;

    if (strlen(name) > DNS_NAME_BYTES_MAX)
        return false;
    while ((bytes = label_bytes(name)) > 0) {
        name += bytes;
        if (!*name)
            return true;
        if (*name++ != '.')
            return false;
    }
    return false;
}

static int parse_dns(struct condition *condition, struct error *err)
{
    const char *name = condition->value;

    if (!strncmp(name, "*.", 2))
        name += 2;
    if (strchr(name, '*'))
        return error_set(err, -EINVAL,
                         "a '*' stands for the whole first label, and nowhere else: "
                         "write it as in dns:*.vms.example.com");
    if (!is_dns_name(name))
        return error_set(err, -EINVAL,
                         "this is not a DNS name: it has labels of letters, digits "
                         "and '-', without a dot at the end; others are written in "
                         "their xn-- form");
    return 0;
}

/* "*.example.com" is for names of one label more, and never for a certificate that has a '*'
 * itself. */
static bool dns_name_matches(const char *pattern, const char *name)
{
    size_t bytes;

    if (strncmp(pattern, "*.", 2) != 0)
        return !strcasecmp(pattern, name);
    bytes = label_bytes(name);
    return bytes > 0 && !strcasecmp(pattern + 1, name + bytes);
}

static bool matches_dns(const struct condition *condition, const struct peer *peer)
{
    if (peer->proof != PEER_CERTIFICATE)
        return false;
    for (char **name = peer->dns_names; name != NULL && *name; name++) {
        if (dns_name_matches(condition->value, *name))
            return true;
    }
    return false;
}

/* ---- uid, gid ---- */

/* Digits only.  All ones is what the system calls use for "none". */
static bool parse_id(uint32_t *out, const char *text)
{
    uint64_t id = 0;

    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9')
            return false;
        id = id * 10 + (uint64_t)(*at - '0');
        if (id >= UINT32_MAX)
            return false;
    }
    *out = (uint32_t)id;
    return *text != '\0';
}

static int parse_uid(struct condition *condition, struct error *err)
{
    const struct passwd *user;

    if (parse_id(&condition->parsed.id, condition->value))
        return 0;
    user = getpwnam(condition->value);
    if (user == NULL)
        return error_set(err, -EINVAL, "this machine has no user '%s'", condition->value);
    condition->parsed.id = user->pw_uid;
    return 0;
}

static int parse_gid(struct condition *condition, struct error *err)
{
    const struct group *group;

    if (parse_id(&condition->parsed.id, condition->value))
        return 0;
    group = getgrnam(condition->value);
    if (group == NULL)
        return error_set(err, -EINVAL, "this machine has no group '%s'", condition->value);
    condition->parsed.id = group->gr_gid;
    return 0;
}

static bool matches_uid(const struct condition *condition, const struct peer *peer)
{
    return peer->address.ss_family == AF_UNIX && peer->uid == condition->parsed.id;
}

static bool matches_gid(const struct condition *condition, const struct peer *peer)
{
    return peer->address.ss_family == AF_UNIX && peer->gid == condition->parsed.id;
}

/* ---- net ---- */

static unsigned address_bits(int family)
{
    return family == AF_INET ? 32 : 128;
}

/* ::ffff:10.0.0.7 is 10.0.0.7.  Source: RFC 4291 section 2.5.5.2. */
static void unmap(struct network *network)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (network->family != AF_INET6 || network->prefix_bits < 96 ||
        memcmp(network->address, mapped, sizeof mapped) != 0)
        return;
    network->family = AF_INET;
    network->prefix_bits -= 96;
    memmove(network->address, network->address + sizeof mapped, sizeof(struct in_addr));
}

static bool network_of_peer(struct network *out, const struct sockaddr_storage *address)
{
    *out = (struct network){ .family = address->ss_family };
    if (out->family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

        memcpy(out->address, &v4->sin_addr, sizeof v4->sin_addr);
    } else if (out->family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

        memcpy(out->address, &v6->sin6_addr, sizeof v6->sin6_addr);
    } else {
        return false;
    }
    out->prefix_bits = address_bits(out->family);
    unmap(out);
    return true;
}

/* Clears what is behind the prefix; tells whether something was there. */
static bool clear_host_bits(struct network *network)
{
    bool found = false;

    for (unsigned bit = network->prefix_bits; bit < address_bits(network->family); bit++) {
        uint8_t mask = (uint8_t)(0x80u >> bit % 8);

        found |= network->address[bit / 8] & mask;
        network->address[bit / 8] &= (uint8_t)~mask;
    }
    return found;
}

/* "/24" behind an address, or nothing. */
static bool parse_prefix(struct network *network, const char *slash)
{
    uint32_t bits = address_bits(network->family);

    if (slash != NULL && (strlen(slash + 1) > 3 || !parse_id(&bits, slash + 1)))
        return false;
    network->prefix_bits = bits;
    return bits <= address_bits(network->family);
}

static int parse_net(struct condition *condition, struct error *err)
{
    struct network *network = &condition->parsed.network;
    const char *slash = strchr(condition->value, '/');
    size_t bytes = slash != NULL ? (size_t)(slash - condition->value) : strlen(condition->value);
    char address[INET6_ADDRSTRLEN] = "";

    if (bytes < sizeof address)
        memcpy(address, condition->value, bytes);
    network->family = strchr(address, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(network->family, address, network->address) != 1)
        return error_set(err, -EINVAL,
                         "there is no numeric address: write it as 10.0.0.0/8, "
                         "2001:db8::/32 or 10.0.0.7");
    if (!parse_prefix(network, slash))
        return error_set(err, -EINVAL, "behind the '/' is no number from 0 to %u",
                         address_bits(network->family));
    if (clear_host_bits(network)) {
        char proposal[INET6_ADDRSTRLEN] = "";

        inet_ntop(network->family, network->address, proposal, sizeof proposal);
        return error_set(err, -EINVAL,
                         "the address goes on behind its first %u bits: write "
                         "net:%s/%u for that network, or net:%s for one address",
                         network->prefix_bits, proposal, network->prefix_bits, address);
    }
    unmap(network);
    return 0;
}

static bool matches_net(const struct condition *condition, const struct peer *peer)
{
    const struct network *wanted = &condition->parsed.network;
    struct network found;

    if (!network_of_peer(&found, &peer->address) || found.family != wanted->family)
        return false;
    found.prefix_bits = wanted->prefix_bits;
    (void)clear_host_bits(&found);
    return !memcmp(found.address, wanted->address, address_bits(found.family) / 8);
}

/* ---- the table ---- */

static const struct kind kinds[] = {
    { "cert", ACCESS_BY_CERTIFICATE, false, parse_cert, matches_cert },
    { "dns", ACCESS_BY_CERTIFICATE, true, parse_dns, matches_dns },
    { "uri", ACCESS_BY_CERTIFICATE, true, parse_text, matches_uri },
    { "psk", ACCESS_BY_PSK, false, parse_text, matches_psk },
    { "uid", ACCESS_BY_UNIX, false, parse_uid, matches_uid },
    { "gid", ACCESS_BY_UNIX, false, parse_gid, matches_gid },
    { "net", ACCESS_BY_TCP, false, parse_net, matches_net },
};

/* By the "kind:" in front of `text`. */
static const struct kind *find_kind(const char *text)
{
    size_t bytes = strcspn(text, ":");

    for (size_t i = 0; text[bytes] && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strlen(kinds[i].name) == bytes && !strncmp(kinds[i].name, text, bytes))
            return &kinds[i];
    }
    return NULL;
}

/* ---- a rule ---- */

/* Ends the condition at *at where a single '&' stands and undoubles the others, in place.
 * *next is what follows, NULL: nothing. */
static int cut_condition(char *at, char **next, struct error *err)
{
    char *out = at;

    *next = NULL;
    while (*at) {
        if (*at == '&' && *++at != '&') {
            *next = at;
            break;
        }
        if (*at == '&' && find_kind(at + 1) != NULL)
            return error_set(err, -EINVAL,
                             "two conditions are joined by one '&': '&&' is an '&' "
                             "that belongs to a value");
        *out++ = *at++;
    }
    *out = '\0';
    return 0;
}

static int parse_condition(struct condition *out, const char *text, struct error *err)
{
    out->kind = find_kind(text);
    if (out->kind == NULL && !strcmp(text, "any"))
        return error_set(err, -EINVAL,
                         "'any' lets everybody in and stands alone: leave it or the "
                         "other rules out");
    if (out->kind == NULL)
        return error_set(err, -EINVAL, "a rule is 'any', or begins with " KINDS_TEXT);
    out->value = text + strlen(out->kind->name) + 1;
    if (!*out->value)
        return error_set(err, -EINVAL, "there is nothing behind '%s:'", out->kind->name);
    return out->kind->parse(out, err);
}

/* Conditions that no client can meet together are a mistake. */
static int check_together(const struct rule *rule, const struct condition *last, struct error *err)
{
    const struct {
        unsigned ways;
        const char *why;
    } never[] = {
        { ACCESS_BY_TCP | ACCESS_BY_UNIX, "net: is for TCP, uid: and gid: are for Unix sockets" },
        { ACCESS_BY_CERTIFICATE | ACCESS_BY_PSK, "a client has a certificate or a pre-shared key" },
    };

    for (const struct condition *before = rule->conditions; before < last; before++) {
        if (before->kind == last->kind && !last->kind->repeatable)
            return error_set(err, -EINVAL,
                             "a client can't meet two '%s:' at once: give each a "
                             "rule of its own",
                             last->kind->name);
    }
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        if ((rule->ways & never[i].ways) == never[i].ways)
            return error_set(err, -EINVAL, "no client can meet all of this: %s", never[i].why);
    }
    return 0;
}

static int parse_conditions(struct rule *rule, struct error *err)
{
    char *at = rule->pieces, *next;

    for (; at; at = next) {
        struct condition *condition = &rule->conditions[rule->condition_count];
        int result = cut_condition(at, &next, err);

        if (result == 0 && rule->condition_count == CONDITIONS_MAX)
            return error_set(err, -EINVAL, "a rule has at most %u conditions", CONDITIONS_MAX);
        if (result == 0)
            result = parse_condition(condition, at, err);
        if (result != 0)
            return result;
        rule->condition_count++;
        rule->ways |= condition->kind->way;
        result = check_together(rule, condition, err);
        if (result != 0)
            return result;
    }
    return 0;
}

static int parse_rule(struct rule *rule, const char *text, struct error *err)
{
    int result;

    rule->text = strdup(text);
    rule->pieces = strdup(text);
    if (rule->text == NULL || rule->pieces == NULL)
        return error_no_memory(err, NULL);
    result = parse_conditions(rule, err);
    if (result != 0)
        error_prefix(err, "%.200s: ", text);
    return result;
}

static bool rule_allows(const struct rule *rule, const struct peer *peer)
{
    bool all = true;

    for (size_t i = 0; i < rule->condition_count; i++)
        all &= rule->conditions[i].kind->matches(&rule->conditions[i], peer);
    return all;
}

/* ---- the list ---- */

int access_create(struct access **out, const char *const *rules, size_t count, struct error *err)
{
    struct access *access;
    int result = 0;

    *out = NULL;
    if (count == 0 || (count == 1 && !strcmp(rules[0], "any")))
        return 0;
    access = calloc(1, sizeof *access + count * sizeof access->rules[0]);
    if (access == NULL)
        return error_no_memory(err, NULL);
    while (result == 0 && access->rule_count < count) {
        result = parse_rule(&access->rules[access->rule_count], rules[access->rule_count], err);
        access->rule_count++;
    }
    if (result != 0) {
        access_free(access);
        return result;
    }
    *out = access;
    return 0;
}

void access_free(struct access *access)
{
    for (size_t i = 0; access != NULL && i < access->rule_count; i++) {
        free(access->rules[i].text);
        free(access->rules[i].pieces);
    }
    free(access);
}

bool access_allows(const struct access *access, const struct peer *peer)
{
    bool one = access == NULL;

    /* All of them, whichever matches: the time says little about the list. */
    for (size_t i = 0; access != NULL && i < access->rule_count; i++)
        one |= rule_allows(&access->rules[i], peer);
    return one;
}

size_t access_rule_count(const struct access *access)
{
    return access != NULL ? access->rule_count : 0;
}

const char *access_rule_text(const struct access *access, size_t index)
{
    return access->rules[index].text;
}

const char *access_rule_is_dead(const struct access *access, size_t index, unsigned ways)
{
    unsigned missing = access->rules[index].ways & ~ways;

    if (missing & ACCESS_BY_UNIX)
        return "the server listens on no Unix socket";
    if (missing & ACCESS_BY_TCP)
        return "the server listens on no TCP address";
    if (missing & ACCESS_BY_CERTIFICATE)
        return "the server does not ask for certificates";
    return missing & ACCESS_BY_PSK ? "the server has no pre-shared keys" : NULL;
}
