/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ucarp's command line: what worked there means the same here, what was refused there is refused with its status. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ucarp-options.h"
#include "util/log.h"

/* As the kernel gives it: writable, ended by NULL; parsing may reorder it. */
static UcarpOutcome parse_words(char **words, UcarpOptions *ret) {
        g_autoptr(GPtrArray) argv = g_ptr_array_new(); /* the words stay the caller's */
        g_ptr_array_add(argv, (gpointer) "vipd-ucarp");
        for (char **w = words; *w; w++)
                g_ptr_array_add(argv, *w);
        g_ptr_array_add(argv, NULL);
        return ucarp_options_parse((int) argv->len - 1, (char **) argv->pdata, ret);
}

/* text: words separated by spaces */
static UcarpOutcome parse(const char *text, UcarpOptions *ret) {
        g_auto(GStrv) words = g_strsplit(text, " ", -1);
        return parse_words(words, ret);
}

#define REQUIRED "-s 192.0.2.1 -v 7 -p secret -a 192.0.2.10"

static void test_defaults(void) {
        UcarpOptions o;
        g_assert_cmpint(parse(REQUIRED, &o), ==, UCARP_OUTCOME_RUN);
        const InstanceConfig *c = o.config;
        char text[IP_PREFIX_TEXT_BYTES];

        g_assert_cmpuint(c->n_addresses, ==, 1);
        g_assert_cmpstr(ip_prefix_format(&c->addresses[0], text), ==, "192.0.2.10/32");
        g_assert_cmpstr(ip_address_format(&c->carp.source_ipv4, text), ==, "192.0.2.1");
        g_assert_cmpstr(c->interface, ==, "");
        g_assert_cmpuint(c->carp.vhid, ==, 7);
        g_assert_cmpmem(c->carp.key, c->carp.n_key_bytes, "secret", 6);
        g_assert_cmpuint(c->carp.advbase, ==, 1);
        g_assert_cmpuint(c->carp.advskew, ==, 0);
        g_assert_cmpuint(c->carp.dead_ratio, ==, 3);
        g_assert_false(c->carp.preempt);
        g_assert_true(c->carp.multicast);
        g_assert_cmpint(c->carp.group_ipv4.family, ==, AF_UNSPEC);
        g_assert_true(c->enabled);
        g_assert_false(c->ignore_carrier);
        g_assert_false(c->takeover.neutral);
        g_assert_null(c->takeover.up_script);
        g_assert_null(c->takeover.down_script);
        g_assert_null(c->takeover.script_parameter);
        g_assert_false(o.run_down_script || o.daemonize || o.debug);
        g_assert_true(o.syslog);
        g_assert_cmpint(o.facility, ==, LOG_DAEMON);
        ucarp_options_clear(&o);
}

static void check_every_option(const UcarpOptions *o) {
        const InstanceConfig *c = o->config;
        char text[IP_ADDRESS_TEXT_BYTES];
        g_assert_cmpstr(c->interface, ==, "eth0");
        g_assert_cmpstr(ip_address_format(&c->carp.group_ipv4, text), ==, "224.0.0.99");
        g_assert_cmpuint(c->carp.advbase, ==, 2);
        g_assert_cmpuint(c->carp.advskew, ==, 5);
        g_assert_cmpuint(c->carp.dead_ratio, ==, 4);
        g_assert_true(c->carp.preempt);
        g_assert_false(c->carp.multicast);
        g_assert_true(c->ignore_carrier);
        g_assert_true(c->takeover.neutral);
        g_assert_cmpstr(c->takeover.up_script, ==, "/bin/true");
        g_assert_cmpstr(c->takeover.down_script, ==, "/bin/false");
        g_assert_cmpstr(c->takeover.script_parameter, ==, "word");
        g_assert_true(o->run_down_script && o->daemonize && o->debug && o->syslog);
        g_assert_cmpint(o->facility, ==, LOG_LOCAL3);
}

static void test_every_option_short_long_and_abbreviated(void) {
        static const char *const lines[] = {
                (REQUIRED " -i eth0 -m 224.0.0.99 -b 2 -k 5 -r 4 -P -M -S -n -u /bin/true -d /bin/false -x word "
                          "-z -B -D -f local3"),
                (REQUIRED " --interface=eth0 --mcastip=224.0.0.99 --advbase=2 --advskew=5 --deadratio=4 --preempt --nomcast "
                         "--ignoreifstate --neutral --upscript=/bin/true --downscript=/bin/false --xparam=word --shutdown "
                         "--daemonize --debug --facility=local3"),
                ("--src 192.0.2.1 --vh 7 --pass secret --addr 192.0.2.10 --int eth0 --mcast 224.0.0.99 --advb 2 --advs 5 "
                "--dead 4 --pre --nom --ign --neu --up /bin/true --down /bin/false --xp word --shut --daem --deb"
                 " --fac LOCAL3"),
        };
        for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
                UcarpOptions o;
                g_assert_cmpint(parse(lines[i], &o), ==, UCARP_OUTCOME_RUN);
                check_every_option(&o);
                ucarp_options_clear(&o);
        }
}

static void test_numbers_as_ucarp_reads_them(void) {
        static const struct {
                const char *options;
                unsigned vhid, advbase, advskew, dead_ratio;
        } cases[] = {
                { "-v 0x10", 16, 1, 0, 3 },
                { "-v 010", 8, 1, 0, 3 },
                { "-v 12abc", 12, 1, 0, 3 },
                { "-b 300", 7, 44, 0, 3 },
                { "-b -1", 7, 255, 0, 3 },
                { "-b abc -k 1", 7, 0, 1, 3 },
                { "-k 256", 7, 1, 0, 3 },
                { "-k 300", 7, 1, 44, 3 },
                { "-r -1", 7, 1, 0, UINT32_MAX },
                { "-r 0x10", 7, 1, 0, 16 },
        };
        log_open("test", LOG_TARGET_NONE, LOG_DAEMON);
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *line = g_strdup_printf(REQUIRED " %s", cases[i].options);
                UcarpOptions o;
                g_assert_cmpint(parse(line, &o), ==, UCARP_OUTCOME_RUN);
                g_assert_cmpuint(o.config->carp.vhid, ==, cases[i].vhid);
                g_assert_cmpuint(o.config->carp.advbase, ==, cases[i].advbase);
                g_assert_cmpuint(o.config->carp.advskew, ==, cases[i].advskew);
                g_assert_cmpuint(o.config->carp.dead_ratio, ==, cases[i].dead_ratio);
                ucarp_options_clear(&o);
        }
}

static void test_refusals_have_ucarps_status(void) {
        static const struct {
                const char *line;
                UcarpOutcome outcome;
        } cases[] = {
                { "-h", UCARP_OUTCOME_HELP },
                { "--he", UCARP_OUTCOME_HELP },
                { REQUIRED " --help", UCARP_OUTCOME_HELP },
                { REQUIRED " --nonsense", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " --ad 1", UCARP_OUTCOME_WRONG_OPTION }, /* --addr, --advbase or --advskew? */
                { REQUIRED " -i", UCARP_OUTCOME_WRONG_OPTION },
                { "-v 7 -p secret -a 192.0.2.10", UCARP_OUTCOME_WRONG_OPTION },
                { "-s 192.0.2.1 -p secret -a 192.0.2.10", UCARP_OUTCOME_WRONG_OPTION },
                { "-s 192.0.2.1 -v 7 -a 192.0.2.10", UCARP_OUTCOME_WRONG_OPTION },
                { "-s 192.0.2.1 -v 7 -p secret", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -v 0", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -v 256", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -v -1", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -v abc", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -s 2001:db8::1", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -s 0.0.0.0", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -s host", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -a 192.0.2.10/24", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -a 224.0.0.1", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " --pass=", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -o /nonexistent", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -r 0", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -r abc", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -b 0", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -b 255 -k 255", UCARP_OUTCOME_WRONG_OPTION },
                { REQUIRED " -p 01234567890123456789", UCARP_OUTCOME_CANNOT_START },
                { REQUIRED " -m 192.0.2.9", UCARP_OUTCOME_CANNOT_START },
                { REQUIRED " -i name-of-16-bytes", UCARP_OUTCOME_CANNOT_START },
                { REQUIRED " -p 0123456789012345678", UCARP_OUTCOME_RUN },
                { REQUIRED " -f nonsense", UCARP_OUTCOME_RUN },
                { REQUIRED " operand", UCARP_OUTCOME_RUN },
        };
        /* getopt_long() itself writes to stderr, which is fine in a test */
        log_open("test", LOG_TARGET_NONE, LOG_DAEMON);
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                UcarpOptions o = { 0 };
                g_test_message("%s", cases[i].line);
                g_assert_cmpint(parse(cases[i].line, &o), ==, cases[i].outcome);
                ucarp_options_clear(&o);
        }
}

static void test_passphrase_leaves_the_command_line(void) {
        static const char *const forms[] = { "-p|secret", "-psecret", "--pass|secret", "--pass=secret" };
        for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
                g_autofree char *line = g_strdup_printf("%s|-s|192.0.2.1|-v|7|-a|192.0.2.10|-x|two words", forms[i]);
                g_auto(GStrv) words = g_strsplit(line, "|", -1);
                UcarpOptions o;
                g_assert_cmpint(parse_words(words, &o), ==, UCARP_OUTCOME_RUN);
                g_assert_cmpmem(o.config->carp.key, o.config->carp.n_key_bytes, "secret", 6);
                g_assert_cmpstr(o.config->takeover.script_parameter, ==, "two words");
                for (char **w = words; *w; w++)
                        g_assert_null(strstr(*w, "secret"));
                ucarp_options_clear(&o);
        }
}

static void test_the_later_passphrase_wins(void) {
        g_autofree char *path = NULL;
        int fd = g_file_open_tmp("test-ucarp-XXXXXX", &path, NULL);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(write(fd, "from file\r\nsecond\n", 18), ==, 18);
        (void) close(fd);

        g_autofree char *file_last = g_strdup_printf(REQUIRED " -o %s", path);
        g_autofree char *file_first = g_strdup_printf("-o %s " REQUIRED, path);
        UcarpOptions o;
        g_assert_cmpint(parse(file_last, &o), ==, UCARP_OUTCOME_RUN);
        g_assert_cmpmem(o.config->carp.key, o.config->carp.n_key_bytes, "from file\r", 10);
        ucarp_options_clear(&o);
        g_assert_cmpint(parse(file_first, &o), ==, UCARP_OUTCOME_RUN);
        g_assert_cmpmem(o.config->carp.key, o.config->carp.n_key_bytes, "secret", 6);
        for (size_t i = 6; i < CARP_KEY_BYTES_MAX; i++)
                g_assert_cmpuint(o.config->carp.key[i], ==, 0);
        ucarp_options_clear(&o);

        /* too open is a warning, not a refusal: ucarp read such files */
        g_assert_cmpint(g_chmod(path, 0644), ==, 0);
        log_open("test", LOG_TARGET_NONE, LOG_DAEMON);
        g_assert_cmpint(parse(file_last, &o), ==, UCARP_OUTCOME_RUN);
        ucarp_options_clear(&o);
        g_assert_cmpint(g_unlink(path), ==, 0);
}

static void test_relative_script_becomes_absolute(void) {
        g_autofree char *here = g_get_current_dir();
        g_autofree char *expected = g_build_filename(here, "vip-up.sh", NULL);
        UcarpOptions o;
        log_open("test", LOG_TARGET_NONE, LOG_DAEMON);
        g_assert_cmpint(parse(REQUIRED " -u ./vip-up.sh --downscript=", &o), ==, UCARP_OUTCOME_RUN);
        g_assert_cmpstr(o.config->takeover.up_script, ==, expected);
        g_assert_null(o.config->takeover.down_script);
        ucarp_options_clear(&o);
}

static void test_facility_none_is_no_syslog(void) {
        UcarpOptions o;
        g_assert_cmpint(parse(REQUIRED " -f none", &o), ==, UCARP_OUTCOME_RUN);
        g_assert_false(o.syslog);
        ucarp_options_clear(&o);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/ucarp-options/defaults", test_defaults);
        g_test_add_func("/ucarp-options/every-option", test_every_option_short_long_and_abbreviated);
        g_test_add_func("/ucarp-options/numbers-as-ucarp-reads-them", test_numbers_as_ucarp_reads_them);
        g_test_add_func("/ucarp-options/refusals-have-ucarps-status", test_refusals_have_ucarps_status);
        g_test_add_func("/ucarp-options/passphrase-leaves-the-command-line", test_passphrase_leaves_the_command_line);
        g_test_add_func("/ucarp-options/the-later-passphrase-wins", test_the_later_passphrase_wins);
        g_test_add_func("/ucarp-options/relative-script-becomes-absolute", test_relative_script_becomes_absolute);
        g_test_add_func("/ucarp-options/facility-none-is-no-syslog", test_facility_none_is_no_syslog);
        return g_test_run();
}
