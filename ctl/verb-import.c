/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/import-keepalived.h"
#include "ctl/import-ucarp.h"
#include "ctl/import-write.h"
#include "ctl/interfaces-syntax.h"
#include "ctl/output.h"

/* vipctl import: another program's configuration becomes instances. Has options of its own, and words behind -- that belong to ucarp; so it reads its
 * part of the command line itself. */

#define CONFIG_DIRECTORY "/etc/vipd"

typedef struct Options {
        char *output, *pid;
        gboolean force;
        char **rest;
} Options;

static void options_clear(Options *o) {
        g_free(o->output);
        g_free(o->pid);
        g_strfreev(o->rest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static char *read_file(const char *path, gsize *ret_n_bytes, GError **ret_error) {
        char *text = NULL;

        return g_file_get_contents(path, &text, ret_n_bytes, ret_error) ? text : NULL;
}

static char **expand(const char *pattern) {
        glob_t found = { 0 };
        char **paths = glob(pattern, 0, NULL, &found) == 0 ? g_strdupv(found.gl_pathv) : NULL;

        globfree(&found);
        return paths;
}

/* Files of source-directory: in each directory that fits, those whose names are letters, digits, _ and -. */
static char **expand_directory(const char *pattern) {
        g_autofree char *inside = g_build_filename(pattern, "*", NULL);
        char **paths = expand(inside);
        guint n = 0;

        for (guint k = 0; paths && paths[k]; k++) {
                g_autofree char *name = g_path_get_basename(paths[k]);
                bool counts = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == strlen(name) &&
                              g_file_test(paths[k], G_FILE_TEST_IS_REGULAR);

                if (counts)
                        paths[n++] = paths[k];
                else
                        g_free(paths[k]);
        }
        if (paths)
                paths[n] = NULL;
        return paths;
}

static Import *from_ucarp(const Options *o, char **command) {
        Import *i = import_new("Imported by vipctl from a command line of ucarp. vipd and ucarp understand each other: one host after the other can move.");
        g_auto(GStrv) argv = NULL;

        if (o->pid && !import_ucarp_process(o->pid, &argv))
                return import_free(i);
        if (argv)
                import_ucarp(i, (ImportAt) { NULL, 0 }, argv + 1, NULL);
        else
                import_ucarp(i, (ImportAt) { NULL, 0 }, command, NULL);
        return i;
}

static Import *from_ifupdown(const char *path) {
        const InterfacesReader reader = { .read = read_file, .expand = expand, .directory = expand_directory };
        g_autofree char *head = g_strdup_printf("Imported by vipctl from the ucarp options in %s; remove them there, as well as the iface ...:ucarp. vipd and "
                                                "ucarp understand each other: one host after the other can move.",
                                                path);
        Import *i = import_new(head);
        g_autoptr(GPtrArray) stanzas = interfaces_parse(i, &reader, path);

        import_ifupdown(i, stanzas);
        return i;
}

/* The first part of the node's name is keepalived's default for lines that begin with @. */
static Import *from_keepalived(const char *path) {
        struct utsname host;
        KeepalivedReader reader = { .read = read_file, .expand = expand, .config_id = "" };
        g_autofree char *head = g_strdup_printf("Imported by vipctl from %s. VRRP is not CARP: hosts with keepalived and hosts with vipd do not hear each other "
                                                "and would both hold the addresses. All hosts of the group move at once.",
                                                path);
        Import *i = import_new(head);
        KeepalivedNode *root;

        if (uname(&host) == 0) {
                host.nodename[strcspn(host.nodename, ".")] = '\0';
                reader.config_id = host.nodename;
        }
        root = keepalived_parse(i, &reader, path);
        import_keepalived(i, root);
        keepalived_node_free(root);
        if (i->instances->len == 0 && i->notes->len == 0)
                import_note(i, (ImportAt) { path, 0 }, IMPORT_LOST, "there is no vrrp_instance in it, and nothing to convert");
        return i;
}

static void tell_notes(const Import *i) {
        static const char *const kinds[] = { [IMPORT_NOTE] = "note", [IMPORT_CHANGED] = "changed", [IMPORT_LOST] = "not converted" };

        for (guint k = 0; k < i->notes->len; k++) {
                const ImportNote *n = g_ptr_array_index(i->notes, k);
                const char *kind = kinds[n->kind];

                if (n->file && n->line > 0)
                        client_complain("%s:%u: %s: %s", n->file, n->line, kind, n->sentence);
                else if (n->file)
                        client_complain("%s: %s: %s", n->file, kind, n->sentence);
                else
                        client_complain("%s: %s", kind, n->sentence);
        }
}

static CtlExit give(Import *i, const Options *o, const char *directory) {
        CtlExit code;

        import_sort_notes(i);
        tell_notes(i);
        if (i->instances->len == 0)
                return CTL_FAILED;
        if (o->output) {
                code = import_write(i, directory, o->force);
        } else {
                g_autofree char *text = import_print(i, directory);

                code = output_write(text);
        }
        return code == CTL_DONE && import_n_lost(i) > 0 ? CTL_FAILED : code;
}

static int usage(void) {
        client_complain("Usage: vipctl import ucarp -- ARGUMENT..., vipctl import ucarp --pid=PID, "
                        "vipctl import ifupdown [FILE], or vipctl import keepalived [FILE]");
        return CTL_USAGE;
}

static bool parse(int argc, char **argv, Options *o) {
        const GOptionEntry entries[] = {
                { "output", 'o', 0, G_OPTION_ARG_FILENAME, &o->output, "Write files into DIR, made if it is not there", "DIR" },
                { "force", 'f', 0, G_OPTION_ARG_NONE, &o->force, "Overwrite files that are there", NULL },
                { "pid", 0, 0, G_OPTION_ARG_STRING, &o->pid, "ucarp: the process that runs", "PID" },
                { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &o->rest, NULL, "ucarp|ifupdown|keepalived [FILE | -- ARGUMENT...]" },
                { NULL },
        };
        g_autoptr(GOptionContext) context = g_option_context_new("");
        g_autoptr(GError) error = NULL;

        g_option_context_set_summary(context, "Makes instances of another program's configuration; see MIGRATION in vipctl(1).");
        g_option_context_add_main_entries(context, entries, NULL);
        if (g_option_context_parse(context, &argc, &argv, &error))
                return true;
        client_complain("%s", error->message);
        return false;
}

/**
 * import_main() - the verb
 * @argv: [0] is "import"
 *
 * Returns the exit code of the program.
 */
int import_main(int argc, char **argv) {
        static char *nothing[] = { NULL };
        char **command = NULL;
        g_auto(Options) o = { 0 };
        g_autoptr(Import) i = NULL;
        g_autofree char *directory = NULL;
        const char *source, *file;

        for (int k = 1; k < argc && !command; k++)
                if (g_str_equal(argv[k], "--")) {
                        command = argv + k + 1;
                        argv[k] = NULL;
                        argc = k;
                }
        g_set_prgname("vipctl import");
        if (!parse(argc, argv, &o))
                return CTL_USAGE;
        source = o.rest ? o.rest[0] : "";
        file = o.rest ? o.rest[1] : NULL;
        if ((o.output && !*o.output) || (file && !*file)) {
                client_complain("%s is empty", file && !*file ? "FILE" : "--output=");
                return CTL_USAGE;
        }
        /* before the working directory becomes that of a process */
        directory = o.output ? g_canonicalize_filename(o.output, NULL) : g_strdup(CONFIG_DIRECTORY);
        if ((o.rest && file && o.rest[2]) || (o.force && !o.output))
                return usage();
        if (g_str_equal(source, "ucarp") && !file && (o.pid != NULL) != (command != NULL))
                i = from_ucarp(&o, command ?: nothing);
        else if (g_str_equal(source, "ifupdown") && !o.pid && !command)
                i = from_ifupdown(file ?: "/etc/network/interfaces");
        else if (g_str_equal(source, "keepalived") && !o.pid && !command)
                i = from_keepalived(file ?: "/etc/keepalived/keepalived.conf");
        else
                return usage();
        return i ? (int) give(i, &o, directory) : CTL_FAILED;
}

/* Behind options of vipctl's own, none of which says anything to it. */
CtlExit verb_import(Ctl *c) {
        GPtrArray *argv = g_ptr_array_new();
        CtlExit code;

        g_ptr_array_add(argv, (void *) c->verb);
        for (char **word = c->arguments; *word; word++)
                g_ptr_array_add(argv, *word);
        g_ptr_array_add(argv, NULL);
        code = (CtlExit) import_main((int) argv->len - 1, (char **) argv->pdata);
        g_ptr_array_unref(argv);
        return code;
}
