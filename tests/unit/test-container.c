/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The container's arguments and variables: what they become, and what is said of each mistake. */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../container/default-interface.h"
#include "../../container/init.h"
#include "../../container/settings.h"
#include "config-load.h"

/* words: separated by one space each. variables: separated by newlines. */
static int read_settings(const char *words, const char *variables, Settings *ret, char **ret_sentence) {
        g_autofree char *all = g_strconcat("vipd-container ", words, NULL);
        g_auto(GStrv) argv = g_strsplit(all, " ", -1), environment = g_strsplit(variables, "\n", -1);

        if (*words == '\0')
                g_clear_pointer(&argv[1], g_free);
        return settings_read((int) g_strv_length(argv), argv, environment, ret, ret_sentence);
}

static char *text_of(const char *words, const char *variables) {
        g_auto(Settings) s = { 0 };
        g_autofree char *sentence = NULL;
        int r = read_settings(words, variables, &s, &sentence);

        g_assert_cmpstr(sentence, ==, NULL);
        g_assert_cmpint(r, ==, 0);
        return settings_format(&s, "eth0", "/run/vipd/vip.key");
}

static void test_two_arguments_are_enough(void) {
        g_autofree char *text = text_of("192.0.2.50 secret", "");

        g_assert_cmpstr(text, ==,
                        "[VIP]\nAddress=192.0.2.50/32\nInterface=eth0\n\n"
                        "[CARP]\nVHID=23\nPassphraseFile=/run/vipd/vip.key\nDigestAddresses=first\n");
}

static void test_every_variable_has_its_line(void) {
        g_autofree char *text = text_of("192.0.2.50 secret 192.0.2.51/24 2001:db8::50",
                                        "VHID=7\nADVBASE=2\nADVSKEW=100\nPREEMPT=true\nCHECK_HTTP=http://127.0.0.1:8080/a?b=c#d\n"
                                        "CHECK_TCP=[::1]:80\nCHECK_EXPECT=^ok[ ]#$\nCHECK_INTERVAL=2s\nCHECK_TIMEOUT=500ms\n"
                                        "CHECK_RISE=1\nCHECK_FALL=4");

        g_assert_cmpstr(text, ==,
                        "[VIP]\nAddress=192.0.2.50/32 192.0.2.51/24 2001:db8::50/128\nInterface=eth0\n\n"
                        "[CARP]\nVHID=7\nPassphraseFile=/run/vipd/vip.key\nDigestAddresses=first\nAdvBase=2\nAdvSkew=100\nPreempt=yes\n\n"
                        "[Check http]\nType=http\nURL=http://127.0.0.1:8080/a?b=c#d\nOnFailure=release\n"
                        "Interval=2000000us\nTimeout=500000us\nRise=1\nFall=4\nExpect=^ok[ ]#$\n\n"
                        "[Check tcp]\nType=tcp\nAddress=[::1]:80\nOnFailure=release\n"
                        "Interval=2000000us\nTimeout=500000us\nRise=1\nFall=4\n");
}

/* And it says what was meant: every key is known, none is refused, nothing is cut off. */
static void test_vipd_understands_every_line(void) {
        const char *const variables = "VHID=7\nADVBASE=2\nADVSKEW=100\nPREEMPT=true\nCHECK_HTTP=http://127.0.0.1:8080/a?b=c#d\n"
                                      "CHECK_TCP=[::1]:80\nCHECK_EXPECT=^ok[ ]#$\nCHECK_INTERVAL=1h\nCHECK_TIMEOUT=500ms\n"
                                      "CHECK_RISE=1\nCHECK_FALL=4";
        g_auto(Settings) s = { 0 };
        g_autofree char *directory = g_dir_make_tmp("vipd-test-XXXXXX", NULL), *key = g_strconcat(directory, "/vip.key", NULL),
                        *file = g_strconcat(directory, "/vip.vip", NULL), *sentence = NULL, *text = NULL;
        const char *const directories[] = { directory, NULL };
        g_autoptr(ConfigSet) set = NULL;
        const InstanceConfig *c;
        const CheckConfig *http;

        g_assert_cmpint(read_settings("192.0.2.50 secret 2001:db8::50", variables, &s, &sentence), ==, 0);
        text = settings_format(&s, "eth0", key);
        g_assert_true(g_file_set_contents_full(key, "secret", -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
        g_assert_true(g_file_set_contents(file, text, -1, NULL));
        set = config_load(directories, NULL);
        g_assert_cmpuint(set->diagnostics->len, ==, 0);
        c = ((const ConfigEntry *) g_ptr_array_index(set->entries, 0))->config;
        g_assert_nonnull(c);
        g_assert_cmpuint(c->carp.advskew, ==, 100);
        g_assert_true(c->carp.preempt && c->carp.digest_first);
        g_assert_cmpuint(c->checks->len, ==, 2);
        http = g_ptr_array_index(c->checks, 0);
        g_assert_cmpstr(http->url, ==, "http://127.0.0.1:8080/a?b=c#d");
        g_assert_cmpstr(http->expect, ==, "^ok[ ]#$");
        g_assert_cmpuint(http->interval_usec, ==, UINT64_C(3600000000));
        g_assert_cmpuint(http->timeout_usec, ==, 500000);
        g_assert_cmpuint(http->fall, ==, 4);
        g_assert_true(http->release);
        (void) g_unlink(key);
        (void) g_unlink(file);
        (void) g_rmdir(directory);
}

static void test_a_check_may_demote_instead(void) {
        g_autofree char *text = text_of("192.0.2.50 secret", "CHECK_TCP=localhost:80\nCHECK_ON_FAILURE=demote");

        g_assert_nonnull(strstr(text, "\nOnFailure=demote\n"));
        g_assert_null(strstr(text, "release"));
}

static void test_an_empty_variable_is_none(void) {
        g_autofree char *plain = text_of("192.0.2.50 secret", ""), *text = text_of("192.0.2.50 secret", "VHID=\nDEV=\nCHECK_HTTP=\nPASSWORD_FILE=");

        g_assert_cmpstr(text, ==, plain);
}

static void test_the_interface_may_be_named(void) {
        g_auto(Settings) s = { 0 };
        g_autofree char *sentence = NULL;

        g_assert_cmpint(read_settings("192.0.2.50 secret", "DEV=bond0.12", &s, &sentence), ==, 0);
        g_assert_cmpstr(s.interface, ==, "bond0.12");
        g_assert_cmpmem(s.key, s.n_key_bytes, "secret", 6);
}

/* As `printf %s "$VIP" | md5sum` has them. */
static void test_the_vhid_is_the_old_images(void) {
        static const struct {
                const char *vip;
                uint8_t vhid;
        } rows[] = {
                { "192.0.2.50", 23 },
                { "192.0.2.10", 112 },
                { "198.51.100.7", 82 },
                { "2001:db8::50", 139 },
                { "192.0.2.166", 213 },
                { "2001:DB8:0::50", 139 },
                { "192.0.2.10/24", 112 },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(rows); k++) {
                g_autofree char *words = g_strconcat(rows[k].vip, " secret", NULL), *sentence = NULL;
                g_auto(Settings) s = { 0 };

                g_assert_cmpint(read_settings(words, "", &s, &sentence), ==, 0);
                g_assert_cmpuint(s.vhid, ==, rows[k].vhid);
        }
}

static const struct {
        const char *words, *variables, *pattern;
} mistakes[] = {
        { "", "", "usage: VIP PASSWORD [MORE-IPS...], or*" },
        { "192.0.2.50", "", "usage: VIP PASSWORD [MORE-IPS...], or*" },
        { "192.0.2.300 pw", "", "VIP \"192.0.2.300\": is no address; allowed is*" },
        { "hunter2 192.0.2.50", "", "VIP: is no address; allowed is*" },
        { "192.0.2.0/24 pw", "", "VIP \"192.0.2.0/24\": is the network address*" },
        { "224.0.0.1 pw", "", "VIP \"224.0.0.1\": is a multicast address*" },
        { "192.0.2.50 pw hunter2", "", "MORE-IPS (argument 3): is no address*" },
        { "192.0.2.50 pw 192.0.2.51 192.0.2.999", "", "MORE-IPS (argument 4) \"192.0.2.999\": is no address*" },
        { "192.0.2.50 pw 192.0.2.50/24", "", "MORE-IPS (argument 3) \"192.0.2.50/24\": was listed already*" },
        { "192.0.2.50 ", "", "PASSWORD: is empty; allowed are 1 to 19 bytes" },
        { "192.0.2.50 hunter2hunter2hunter2", "", "PASSWORD: is longer than 19 bytes*" },
        { "192.0.2.50 hunter2\n2", "", "PASSWORD: is more than one line" },
        { "192.0.2.50 hunter2", "PASSWORD_FILE=/nonexistent/file", "MORE-IPS (argument 2): is no address*" },
        { "192.0.2.50", "PASSWORD_FILE=/nonexistent/file", "PASSWORD_FILE: *" },
        { "192.0.2.50 pw", "VHID=0", "VHID=0: allowed is a whole number from 1 to 255" },
        { "192.0.2.50 pw", "VHID=256", "VHID=256: allowed is*" },
        { "192.0.2.50 pw", "VHID=0x10", "VHID=0x10: allowed is*" },
        { "192.0.2.50 pw", "ADVBASE=255", "ADVBASE=255: allowed is a whole number from 0 to 254" },
        { "192.0.2.50 pw", "ADVSKEW=-1", "ADVSKEW=-1: allowed is*" },
        { "192.0.2.50 pw", "PREEMPT=maybe", "PREEMPT=maybe: allowed is yes or no" },
        { "192.0.2.50 pw", "DEV=eth0 eth1", "DEV=eth0 eth1: allowed is the name of an interface*" },
        { "192.0.2.50 pw", "DEV=abcdefghijklmnop", "DEV=*: allowed is*" },
        { "192.0.2.50 pw", "DEV=eth\377", "DEV=eth\\377: allowed is the name of an interface*" },
        { "192.0.2.50 pw", "DEV=eth\033", "DEV=eth\\033: allowed is the name of an interface*" },
        { "192.0.2.50 pw", "CHECK_HTTP=localhost:80", "CHECK_HTTP=localhost:80: allowed is http://HOST*" },
        { "192.0.2.50 pw", "CHECK_HTTP=http://", "CHECK_HTTP=http://: allowed is http://HOST*" },
        { "192.0.2.50 pw", "CHECK_HTTP=http://a/b c", "CHECK_HTTP=http://a/b c: allowed is http://HOST*" },
        { "192.0.2.50 pw", "CHECK_HTTP=http://a/\033[2J", "CHECK_HTTP=http://a/\\033[2J: allowed is http://HOST*" },
        { "192.0.2.50 pw", "CHECK_TCP=localhost", "CHECK_TCP=localhost: allowed is HOST:PORT*" },
        { "192.0.2.50 pw", "CHECK_TCP=:80", "CHECK_TCP=:80: allowed is*" },
        { "192.0.2.50 pw", "CHECK_TCP=a:0", "CHECK_TCP=a:0: allowed is*" },
        { "192.0.2.50 pw", "CHECK_TCP=a:65536", "CHECK_TCP=a:65536: allowed is*" },
        { "192.0.2.50 pw", "CHECK_TCP=::1:80", "CHECK_TCP=::1:80: allowed is*" },
        { "192.0.2.50 pw", "CHECK_TCP=a b:80", "CHECK_TCP=a b:80: allowed is*" },
        { "192.0.2.50 pw", "CHECK_HTTP=http://a/\nCHECK_EXPECT=(", "CHECK_EXPECT: is no regular expression*" },
        { "192.0.2.50 pw", "CHECK_EXPECT=ok", "CHECK_EXPECT: is about the answer to CHECK_HTTP, which is not set" },
        { "192.0.2.50 pw", "CHECK_HTTP=http://a/\nCHECK_EXPECT=a # b", "CHECK_EXPECT=a # b: allowed is a regular expression*" },
        { "192.0.2.50 pw", "CHECK_HTTP=http://a/\nCHECK_EXPECT= a", "CHECK_EXPECT= a: allowed is a regular expression*" },
        { "192.0.2.50 pw", "CHECK_HTTP=http://a/\nCHECK_INTERVAL=soon", "CHECK_INTERVAL=soon: allowed is a time from 100ms to 1h*" },
        { "192.0.2.50 pw", "CHECK_HTTP=http://a/\nCHECK_TIMEOUT=0", "CHECK_TIMEOUT=0: allowed is a time from 10ms to 1h*" },
        { "192.0.2.50 pw", "CHECK_HTTP=http://a/\nCHECK_RISE=0", "CHECK_RISE=0: allowed is a whole number from 1 to 100" },
        { "192.0.2.50 pw", "CHECK_HTTP=http://a/\nCHECK_FALL=101", "CHECK_FALL=101: allowed is*" },
        { "192.0.2.50 pw", "CHECK_HTTP=http://a/\nCHECK_ON_FAILURE=explode", "CHECK_ON_FAILURE=explode: allowed is release or demote" },
        { "192.0.2.50 pw", "CHECK_INTERVAL=2s", "CHECK_...: there is nothing to check; set CHECK_HTTP or CHECK_TCP too" },
};

static void test_each_mistake_has_its_sentence(void) {
        for (size_t k = 0; k < G_N_ELEMENTS(mistakes); k++) {
                g_auto(Settings) s = { 0 };
                g_autofree char *sentence = NULL;

                g_assert_cmpint(read_settings(mistakes[k].words, mistakes[k].variables, &s, &sentence), ==, -EINVAL);
                if (!g_pattern_match_simple(mistakes[k].pattern, sentence))
                        g_error("%s is not %s", sentence, mistakes[k].pattern);
                g_assert_null(strstr(sentence, "hunter2"));
        }
}

static void test_the_passphrase_may_come_from_a_file(void) {
        g_autofree char *path = NULL, *variable = NULL, *sentence = NULL;
        g_auto(Settings) s = { 0 }, refused = { 0 };
        int fd = g_file_open_tmp("vipd-test-XXXXXX", &path, NULL);

        g_assert_cmpint(write(fd, "from a file\n", 12), ==, 12);
        (void) close(fd);
        variable = g_strconcat("PASSWORD_FILE=", path, NULL);
        g_assert_cmpint(read_settings("192.0.2.50 192.0.2.51", variable, &s, &sentence), ==, 0);
        g_assert_cmpuint(s.n_addresses, ==, 2);
        g_assert_cmpmem(s.key, s.n_key_bytes, "from a file", 11);
        /* and not from one that is everybody's */
        g_assert_cmpint(g_chmod(path, 0644), ==, 0);
        g_assert_cmpint(read_settings("192.0.2.50", variable, &refused, &sentence), ==, -EINVAL);
        g_assert_true(g_str_has_prefix(sentence, "PASSWORD_FILE: "));
        (void) g_unlink(path);
}

static void test_the_default_route_is_found(void) {
        const char *ipv4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
                           "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
                           "wlan0\t00000000\t0102000A\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
                           "eth0\t00000000\t0102000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
                           "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n",
                   *ipv6 = "20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 "
                           "00000000 00000001     eth1\n"
                           "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 "
                           "00000000 00000003     eth0\n"
                           "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 00000001 00000001 "
                           "00000000 00200200       lo\n";
        char name[IF_NAMESIZE] = "";

        g_assert_true(default_interface_from_routes(AF_INET, ipv4, name));
        g_assert_cmpstr(name, ==, "eth0");
        g_assert_true(default_interface_from_routes(AF_INET6, ipv6, name));
        g_assert_cmpstr(name, ==, "eth0");
        g_assert_false(default_interface_from_routes(AF_INET, "Iface\n", name));
        g_assert_false(default_interface_from_routes(AF_INET6, "", name));
}

static int run_as_init(const char *script) {
        char *argv[] = { (char *) "sh", (char *) "-c", (char *) script, NULL };
        int status;
        pid_t pid = fork();

        if (pid == 0)
                _exit(init_run("/bin/sh", argv));
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void test_the_end_of_the_program_is_its_inits(void) {
        g_assert_cmpint(run_as_init("exit 7"), ==, 7);
        g_assert_cmpint(run_as_init("kill -KILL $$"), ==, 128 + 9);
        /* signals to the init are the program's */
        g_assert_cmpint(run_as_init("trap 'exit 3' USR2; kill -USR2 $PPID; while :; do sleep 0.01; done"), ==, 3);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/container/two-arguments", test_two_arguments_are_enough);
        g_test_add_func("/container/every-variable", test_every_variable_has_its_line);
        g_test_add_func("/container/understood", test_vipd_understands_every_line);
        g_test_add_func("/container/demote-instead", test_a_check_may_demote_instead);
        g_test_add_func("/container/empty-variables", test_an_empty_variable_is_none);
        g_test_add_func("/container/interface", test_the_interface_may_be_named);
        g_test_add_func("/container/vhid", test_the_vhid_is_the_old_images);
        g_test_add_func("/container/mistakes", test_each_mistake_has_its_sentence);
        g_test_add_func("/container/passphrase-file", test_the_passphrase_may_come_from_a_file);
        g_test_add_func("/container/default-route", test_the_default_route_is_found);
        g_test_add_func("/container/init", test_the_end_of_the_program_is_its_inits);
        return g_test_run();
}
