/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <string.h>

#include "config-address.h"
#include "ctl/import-ucarp.h"
#include "ctl/interfaces-syntax.h"

/* The ucarp-... options of Debian's ucarp package as the command line that its hook makes of them, without quotes: a second word is an option or an
 * operand of its own, as there. The address is the one of "iface NAME:ucarp", which the hook's scripts bring up, with its length. */

static const struct {
        const char *name, *option;
} options[] = {
        /* in the hook's order: of two the later counts */
        { "ucarp-vid", "-v" },
        { "ucarp-password", "-p" },
        { "ucarp-vip", "-a" },
        { "ucarp-upscript", "-u" },
        { "ucarp-downscript", "-d" },
        { "ucarp-master", NULL },
        { "ucarp-advskew", "-k" },
        { "ucarp-advbase", "-b" },
        { "ucarp-deadratio", "-r" },
        { "ucarp-nomcast", NULL },
        { "ucarp-xparam", "-x" },
};

static ImportAt at(const InterfacesOption *o) {
        return (ImportAt) { o->file, o->line };
}

static const char *value_of(const InterfacesStanza *s, const char *name) {
        const InterfacesOption *o = interfaces_option(s, name);

        return o && *o->value != '\0' ? o->value : NULL;
}

/* What the hook takes for a no is any value that starts with one of these words. */
static bool is_yes(const char *value) {
        return value && !g_str_has_prefix(value, "no") && !g_str_has_prefix(value, "off") && !g_str_has_prefix(value, "false") && *value != '0';
}

static void add_words(GPtrArray *argv, const char *option, const char *value) {
        g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);

        g_ptr_array_add(argv, g_strdup(option));
        for (char **w = words; *w; w++)
                if (**w != '\0')
                        g_ptr_array_add(argv, g_strdup(*w));
}

/* What the hook would run. The caller unrefs it. */
static GPtrArray *command_line(const InterfacesStanza *s, const char *source) {
        GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);

        add_words(argv, "-i", s->name);
        add_words(argv, "-s", source);
        for (size_t k = 0; k < G_N_ELEMENTS(options); k++) {
                const char *value = value_of(s, options[k].name);

                if (!value && g_str_equal(options[k].name, "ucarp-upscript"))
                        value = "/usr/share/ucarp/vip-up";
                if (!value && g_str_equal(options[k].name, "ucarp-downscript"))
                        value = "/usr/share/ucarp/vip-down";
                if (value && options[k].option)
                        add_words(argv, options[k].option, value);
                else if (is_yes(value))
                        g_ptr_array_add(argv, g_strdup(g_str_equal(options[k].name, "ucarp-master") ? "-P" : "-M"));
        }
        g_ptr_array_add(argv, NULL);
        return argv;
}

/* /24 or 255.255.255.0 to 24; 32 if there is none. */
static unsigned length_of(const InterfacesStanza *alias) {
        const char *address = value_of(alias, "address"), *slash = address ? strchr(address, '/') : NULL, *mask = slash ? slash + 1 : value_of(alias, "netmask");
        struct in_addr bits;

        if (mask && inet_pton(AF_INET, mask, &bits) == 1)
                return (unsigned) __builtin_popcount(bits.s_addr);
        return mask ? (unsigned) CLAMP(g_ascii_strtoull(mask, NULL, 10), 1, 32) : 32;
}

static const InterfacesStanza *alias_of(const GPtrArray *stanzas, const char *name) {
        g_autofree char *alias = g_strdup_printf("%s:ucarp", name);

        for (guint k = 0; k < stanzas->len; k++) {
                const InterfacesStanza *s = g_ptr_array_index(stanzas, k);

                if (g_str_equal(s->kind, "iface") && g_str_equal(s->name, alias))
                        return s;
        }
        return NULL;
}

/* What else came and went with the address. */
static void judge_alias(Import *i, const InterfacesStanza *alias) {
        static const char *const plain[] = { "address", "netmask", "broadcast", "network", "mtu", "label", "scope" };

        for (guint k = 0; k < alias->options->len; k++) {
                const InterfacesOption *o = g_ptr_array_index(alias->options, k);
                bool known = false;

                for (size_t m = 0; m < G_N_ELEMENTS(plain); m++)
                        known = known || g_str_equal(o->name, plain[m]);
                if (!known)
                        import_note(i, at(o), IMPORT_LOST, "%s: came and went with the address; make it a unit of the vipd-master@ target", o->name);
        }
}

static bool split_contains(const char *text, const char *word) {
        g_auto(GStrv) words = g_strsplit_set(text, " \t", -1);

        return g_strv_contains((const char *const *) words, word);
}

/* The shared address with its length as ifup sets it; NULL: as ucarp has it. The caller frees it. */
static char *held_address(Import *i, const GPtrArray *stanzas, const InterfacesStanza *s) {
        const InterfacesStanza *alias = alias_of(stanzas, s->name);
        const char *address = alias ? value_of(alias, "address") : NULL;
        g_auto(GStrv) vip = g_strsplit_set(value_of(s, "ucarp-vip"), " \t", 2), parts = address ? g_strsplit(address, "/", 2) : NULL;
        g_autofree char *cidr = NULL;
        IpPrefix p;

        if (value_of(s, "ucarp-upscript"))
                return NULL;
        if (!address) {
                import_note(i, (ImportAt) { s->file, s->line }, IMPORT_NOTE, "iface %s:ucarp, which would hold the address, is missing or has none", s->name);
                return NULL;
        }
        judge_alias(i, alias);
        for (guint k = 0; k < stanzas->len; k++) {
                const InterfacesStanza *other = g_ptr_array_index(stanzas, k);

                if (!g_str_equal(other->kind, "iface") && split_contains(other->name, alias->name))
                        import_note(i, (ImportAt) { other->file, other->line }, IMPORT_LOST,
                                    "%s %s: sets the address at boot on every host, master or not; remove it", other->kind, alias->name);
        }
        if (g_strcmp0(parts[0], vip[0]) != 0) {
                import_note(i, (ImportAt) { alias->file, alias->line }, IMPORT_LOST, "%s holds %s, but ucarp speaks of %s, and so does vipd", alias->name, parts[0], vip[0]);
                return NULL;
        }
        cidr = g_strdup_printf("%s/%u", vip[0], length_of(alias));
        return length_of(alias) < 32 && ip_prefix_parse(cidr, &p) >= 0 && !config_prefix_problem(&p) ? g_steal_pointer(&cidr) : NULL;
}

static void convert(Import *i, const GPtrArray *stanzas, const InterfacesStanza *s) {
        const char *source = value_of(s, "address");
        g_auto(GStrv) parts = source ? g_strsplit(source, "/", 2) : NULL;
        GPtrArray *argv;
        g_autofree char *address = NULL;

        if (!value_of(s, "ucarp-vid") || !value_of(s, "ucarp-vip") || !value_of(s, "ucarp-password")) {
                import_note(i, (ImportAt) { s->file, s->line }, IMPORT_NOTE,
                            "iface %s: without all of ucarp-vid, ucarp-vip and ucarp-password ucarp is not started, and there is nothing to convert", s->name);
                return;
        }
        if (!source) {
                import_note(i, (ImportAt) { s->file, s->line }, IMPORT_LOST, "iface %s: without an address in the stanza ucarp does not start", s->name);
                return;
        }
        address = held_address(i, stanzas, s);
        argv = command_line(s, parts[0]);
        import_ucarp(i, at(interfaces_option(s, "ucarp-vid")), (char *const *) argv->pdata, address);
        g_ptr_array_unref(argv);
}

static bool has_ucarp(const InterfacesStanza *s) {
        for (guint k = 0; k < s->options->len; k++)
                if (g_str_has_prefix(((const InterfacesOption *) g_ptr_array_index(s->options, k))->name, "ucarp-"))
                        return true;
        return false;
}

/* What ifup adds of another stanza: any may have the part of ucarp's options that this one lacks, or its address. */
static void judge_inheritance(Import *i, const GPtrArray *stanzas, const InterfacesStanza *s) {
        bool matters = has_ucarp(s);

        for (guint k = 0; k < stanzas->len && !matters; k++) {
                const InterfacesStanza *other = g_ptr_array_index(stanzas, k);

                matters = g_str_equal(other->kind, "iface") && g_str_equal(other->name, s->inherits) && has_ucarp(other);
        }
        if (matters)
                import_note(i, (ImportAt) { s->file, s->line }, IMPORT_LOST,
                            "iface %s: the options that it inherits from %s are not looked at; write them into this stanza, and import again", s->name,
                            s->inherits);
}

/* Options that look like the hook's and are not. */
static bool judge(Import *i, const InterfacesStanza *s) {
        bool any = false;

        for (guint k = 0; k < s->options->len; k++) {
                const InterfacesOption *o = g_ptr_array_index(s->options, k);
                bool known = false;

                if (!g_str_has_prefix(o->name, "ucarp-"))
                        continue;
                for (size_t m = 0; m < G_N_ELEMENTS(options); m++)
                        known = known || g_str_equal(options[m].name, o->name);
                if (!known)
                        import_note(i, at(o), IMPORT_NOTE, "%s: the hook of ucarp has no such option, and never looked at it", o->name);
                else if (interfaces_option(s, o->name) != o)
                        import_note(i, at(o), IMPORT_LOST, "%s: stands twice, and the first was taken", o->name);
                any = true;
        }
        return any;
}

void import_ifupdown(Import *i, const GPtrArray *stanzas) {
        for (guint k = 0; k < stanzas->len; k++) {
                const InterfacesStanza *s = g_ptr_array_index(stanzas, k);

                if (s->inherits)
                        judge_inheritance(i, stanzas, s);
                if (g_str_equal(s->kind, "iface") && judge(i, s))
                        convert(i, stanzas, s);
        }
        if (i->instances->len == 0 && i->notes->len == 0)
                import_note(i, (ImportAt) { NULL, 0 }, IMPORT_LOST, "there is no ucarp-vid in it, and nothing to convert");
}
