/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "config-load.h"
#include "config-parse.h"

/* Files in a directory of the test's own: what they mean, and that every mistake is told by file, line, value and what is allowed. */

typedef struct Fixture {
        char *root, *high, *low;
} Fixture;

static void put_mode(const char *directory, const char *name, const char *text, gssize n, mode_t mode) {
        g_autofree char *path = g_build_filename(directory, name, NULL), *parent = g_path_get_dirname(path);

        g_assert_cmpint(g_mkdir_with_parents(parent, 0755), ==, 0);
        g_assert_true(g_file_set_contents(path, text, n, NULL));
        g_assert_cmpint(chmod(path, mode), ==, 0);
}

static void put(const char *directory, const char *name, const char *text) {
        put_mode(directory, name, text, -1, 0600);
}

static void set_up(Fixture *f, gconstpointer data) {
        f->root = g_dir_make_tmp("vipd-config-XXXXXX", NULL);
        f->high = g_build_filename(f->root, "high", NULL);
        f->low = g_build_filename(f->root, "low", NULL);
        put(f->root, "key", "secret\n");
}

static void remove_tree(const char *path) {
        g_autoptr(GDir) dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                remove_tree(child);
        }
        g_assert_cmpint(g_remove(path), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data) {
        remove_tree(f->root);
        g_free(f->root);
        g_free(f->high);
        g_free(f->low);
}

static ConfigSet *load(const Fixture *f) {
        const char *directories[] = { f->high, f->low, NULL };

        return config_load(directories, f->root);
}

static char *vip(const Fixture *f, const char *head, const char *carp) {
        return g_strdup_printf("[VIP]\nAddress=192.0.2.10\nInterface=eth0\n%s[CARP]\nVHID=1\nPassphraseFile=%s/key\n%s", head, f->root, carp);
}

static const ConfigEntry *entry(const ConfigSet *set, const char *name) {
        for (guint k = 0; k < set->entries->len; k++)
                if (g_str_equal(((ConfigEntry *) g_ptr_array_index(set->entries, k))->name, name))
                        return g_ptr_array_index(set->entries, k);
        return NULL;
}

static const InstanceConfig *good(const ConfigSet *set, const char *name) {
        for (guint k = 0; k < set->diagnostics->len; k++) {
                g_autofree char *text = config_diagnostic_format(g_ptr_array_index(set->diagnostics, k));

                g_test_message("%s", text);
        }
        g_assert_nonnull(entry(set, name));
        g_assert_nonnull(entry(set, name)->config);
        return entry(set, name)->config;
}

/* There is a diagnostic of this kind, in this line, whose sentence matches the pattern. */
static void assert_told(const ConfigSet *set, bool error, unsigned line, const char *pattern) {
        for (guint k = 0; k < set->diagnostics->len; k++) {
                const ConfigDiagnostic *d = g_ptr_array_index(set->diagnostics, k);

                if (d->error == error && d->line == line && g_pattern_match_simple(pattern, d->sentence))
                        return;
                g_test_message("line %u: %s", d->line, d->sentence);
        }
        g_test_message("nothing in line %u matches %s", line, pattern);
        g_assert_not_reached();
}

static void test_defaults_are_the_designs(Fixture *f, gconstpointer data) {
        g_autofree char *text = vip(f, "", "");
        g_autoptr(ConfigSet) set = NULL;
        const InstanceConfig *c;

        put(f->high, "web.vip", text);
        set = load(f);
        c = good(set, "web");
        g_assert_cmpuint(set->diagnostics->len, ==, 0);
        g_assert_cmpuint(c->carp.advbase, ==, 1);
        g_assert_cmpuint(c->carp.advskew, ==, 0);
        g_assert_cmpuint(c->carp.dead_ratio, ==, 3);
        g_assert_false(c->carp.preempt);
        g_assert_true(c->carp.multicast);
        g_assert_true(c->enabled);
        g_assert_cmpuint(c->addresses[0].prefix_length, ==, 32);
        g_assert_cmpuint(c->announce.count, ==, 5);
        g_assert_cmpuint(c->announce.interval_usec, ==, 200000);
        g_assert_cmpuint(c->announce.refresh_usec, ==, CONFIG_USEC_UNSET);
        g_assert_cmpuint(c->start_delay_usec, ==, CONFIG_USEC_UNSET);
        g_assert_cmpuint(c->takeover.demote_hold_usec, ==, 3000000);
        g_assert_false(c->takeover.units_before_address);
        g_assert_cmpuint(c->takeover.unit_timeout_usec, ==, 30000000);
        g_assert_false(c->takeover.demote_on_unit_failure);
        g_assert_cmpmem(c->carp.key, c->carp.n_key_bytes, "secret", 6);
        g_assert_cmpuint(instance_config_lease_sec(c), ==, 2);
        g_assert_true(instance_config_equal(c, c));
}

static void test_every_key_is_read(Fixture *f, gconstpointer data) {
        g_autofree char *text = vip(f,
                                    "Description=a # b\nEnabled=no\nLease=5s\nStartDelay=250ms # a comment\n",
                                    "AdvBase=2\nAdvSkew=100\nDeadRatio=4\nPreempt=true\nPreemptDelay=1min 30s\nSourceAddress=192.0.2.1\n"
                                    "Multicast=off\nPeers=192.0.2.2 192.0.2.3\nReplayProtection=strict\n[Announce]\nCount=3\n"
                                    "Interval=0.5s\nRefresh=30\n[Takeover]\nUpScript=/bin/up\nDownScript=/bin/down\nScriptParameter=x y\n"
                                    "DemoteHold=10s\nUnitsBeforeAddress=yes\nUnitTimeout=1h\nOnUnitFailure=demote\n");
        g_autoptr(ConfigSet) set = NULL;
        const InstanceConfig *c;

        put(f->high, "web.vip", text);
        set = load(f);
        c = good(set, "web");
        g_assert_cmpuint(set->diagnostics->len, ==, 0);
        g_assert_cmpstr(c->description, ==, "a # b");
        g_assert_false(c->enabled);
        g_assert_cmpuint(instance_config_lease_sec(c), ==, 5);
        g_assert_cmpuint(c->start_delay_usec, ==, 250000);
        g_assert_cmpuint(c->carp.dead_ratio, ==, 4);
        g_assert_true(c->carp.preempt);
        g_assert_cmpuint(c->carp.preempt_delay_usec, ==, 90000000);
        g_assert_cmpuint(c->carp.source_ipv4.bytes[3], ==, 1);
        g_assert_false(c->carp.multicast);
        g_assert_cmpuint(c->carp.n_peers, ==, 2);
        g_assert_true(c->carp.strict_replay);
        g_assert_cmpuint(c->announce.interval_usec, ==, 500000);
        g_assert_cmpuint(c->announce.refresh_usec, ==, 30000000);
        g_assert_cmpstr(c->takeover.up_script, ==, "/bin/up");
        g_assert_cmpstr(c->takeover.script_parameter, ==, "x y");
        g_assert_cmpuint(c->takeover.demote_hold_usec, ==, 10000000);
        g_assert_true(c->takeover.units_before_address);
        g_assert_cmpuint(c->takeover.unit_timeout_usec, ==, 3600000000);
        g_assert_true(c->takeover.demote_on_unit_failure);
}

/* A key that instance_config_equal() forgot would be ignored by a reload in silence. */
static void test_a_reload_notices_each_of_the_unit_keys(Fixture *f, gconstpointer data) {
        static const char *const lines[] = { "UnitsBeforeAddress=yes\n", "UnitTimeout=5s\n", "OnUnitFailure=demote\n" };
        g_autofree char *text = vip(f, "", "");
        g_autoptr(ConfigSet) before = NULL;

        put(f->high, "web.vip", text);
        before = load(f);
        for (size_t k = 0; k < G_N_ELEMENTS(lines); k++) {
                g_autofree char *changed = g_strconcat(text, "[Takeover]\n", lines[k], NULL);
                g_autoptr(ConfigSet) after = NULL;

                put(f->high, "web.vip", changed);
                after = load(f);
                g_assert_false(instance_config_equal(good(before, "web"), good(after, "web")));
        }
}

/* One wrong line each; it stands in line 4 (head) or 7 (carp), behind a section line in 8. */
static const struct {
        const char *head, *carp, *pattern;
} mistakes[] = {
        { "Lease=1.5s\n", "", "Lease=1.5s: allowed is auto, no, or a time in whole seconds*" },
        { "Enabled=maybe\n", "", "Enabled=maybe: allowed is yes or no" },
        { "StartDelay=soon\n", "", "StartDelay=soon: allowed is a time*" },
        { "StartDelay=-1\n", "", "StartDelay=-1: allowed is*" },
        { "Interface=abcdefghijklmnop\n", "", "*allowed is an interface name of 1 to 15 characters*" },
        { "Interface=a/b\n", "", "*allowed is an interface name*" },
        { "Address=192.0.2.300\n", "", "*\"192.0.2.300\" is no address*" },
        { "Address=192.0.2.0/33\n", "", "*is no address*" },
        { "Address=224.0.0.1\n", "", "*unspecified, loopback, multicast or broadcast*" },
        { "Address=::1\n", "", "*unspecified, loopback, multicast or broadcast*" },
        { "SyncGroup=a\n", "", "SyncGroup=a: not supported by this version" },
        { "MACAddress=virtual\n", "", "MACAddress=virtual: not supported by this version*" },
        { "this is no key\n", "", "*neither Key=Value*" },
        { "", "VHID=0\n", "VHID=0: allowed is a whole number from 1 to 255" },
        { "", "VHID=256\n", "VHID=256: allowed is*" },
        { "", "VHID=0x10\n", "VHID=0x10: allowed is*" },
        { "", "AdvBase=255\n", "AdvBase=255: allowed is a whole number from 0 to 254" },
        { "", "AdvSkew=-1\n", "AdvSkew=-1: allowed is*" },
        { "", "DeadRatio=0\n", "DeadRatio=0: allowed is a whole number from 1 to 255" },
        { "", "AdvSkew=\n", "AdvSkew=: allowed is*" },
        { "", "Peers=192.0.2.256\n", "*a list of unicast*" },
        { "", "ReplayProtection=yes\n", "ReplayProtection=yes: allowed is no or strict" },
        { "", "PassphraseFile=geheim\n", "PassphraseFile= is no absolute path*" },
        { "", "SourceAddress=192.0.2.1 192.0.2.2\n", "*at most one IPv4 and one IPv6 address" },
        { "", "PreemptDelay=1000000000w\n", "PreemptDelay=*: allowed is a time*" },
        { "", "[Takeover]\nUnitsBeforeAddress=after\n", "UnitsBeforeAddress=after: allowed is yes or no" },
        { "", "[Takeover]\nUnitTimeout=0\n", "UnitTimeout=0: allowed is a time above 0 and up to 1h*" },
        { "", "[Takeover]\nUnitTimeout=61min\n", "UnitTimeout=61min: allowed is a time above 0 and up to 1h*" },
        { "", "[Takeover]\nUnitTimeout=\n", "UnitTimeout=: allowed is a time above 0*" },
        { "", "[Takeover]\nOnUnitFailure=release\n", "OnUnitFailure=release: allowed is ignore or demote" },
        { "", "Passphrase=geheim\n", "both Passphrase= and PassphraseFile= are set*" },
};

static void test_each_mistake_has_its_line_and_sentence(Fixture *f, gconstpointer data) {
        for (size_t k = 0; k < G_N_ELEMENTS(mistakes); k++) {
                g_autofree char *text = vip(f, mistakes[k].head, mistakes[k].carp);
                g_autoptr(ConfigSet) set = NULL;

                put(f->high, "web.vip", text);
                set = load(f);
                g_assert_null(entry(set, "web")->config);
                assert_told(set, true, *mistakes[k].head ? 4 : *mistakes[k].carp == '[' ? 8 : 7, mistakes[k].pattern);
                for (guint d = 0; d < set->diagnostics->len; d++) {
                        const ConfigDiagnostic *told = g_ptr_array_index(set->diagnostics, d);

                        g_assert_null(strstr(told->sentence, "geheim"));
                        g_assert_null(strstr(told->sentence, "secret"));
                }
        }
}

static void test_later_sections_are_refused_as_not_supported(Fixture *f, gconstpointer data) {
        g_autofree char *text = vip(f, "", "[Check haproxy]\nType=unit\n");
        g_autoptr(ConfigSet) set = NULL;

        put(f->high, "web.vip", text);
        set = load(f);
        g_assert_null(entry(set, "web")->config);
        assert_told(set, true, 7, "?Check haproxy?: health checks are not supported by this version");
}

static void test_unknown_words_are_warned_of_with_the_nearest(Fixture *f, gconstpointer data) {
        g_autofree char *text = vip(f, "Adress=192.0.2.11\n", "[Anounce]\n[Takeover]\nUpscript=/x\n");
        g_autoptr(ConfigSet) set = NULL;

        put(f->high, "web.vip", text);
        set = load(f);
        (void) good(set, "web");
        assert_told(set, false, 4, "unknown key Adress=*did you mean Address= in ?VIP??");
        assert_told(set, false, 8, "unknown section ?Anounce?*did you mean ?Announce??");
        assert_told(set, false, 10, "unknown key Upscript=*UpScript=*");
}

static void test_all_that_is_missing_is_told_at_once(Fixture *f, gconstpointer data) {
        g_autoptr(ConfigSet) set = NULL;

        put(f->high, "web.vip", "[VIP]\n");
        set = load(f);
        assert_told(set, true, 0, "Address= in ?VIP? is missing");
        assert_told(set, true, 0, "Interface= in ?VIP? is missing");
        assert_told(set, true, 0, "VHID= in ?CARP? is missing");
        assert_told(set, true, 0, "there is no passphrase*");
}

static void test_conflicts_break_the_later_instance_alone(Fixture *f, gconstpointer data) {
        g_autofree char *text = vip(f, "", "");
        g_autofree char *other = vip(f, "Address=\nAddress=192.0.2.11\n", "");
        g_autofree char *elsewhere = vip(f, "Interface=eth1\n", "");
        g_autoptr(ConfigSet) set = NULL;

        put(f->high, "a.vip", text);
        put(f->high, "b.vip", other);
        put(f->high, "c.vip", elsewhere);
        put(f->high, "d.vip", "garbage");
        set = load(f);
        (void) good(set, "a");
        g_assert_null(entry(set, "b")->config);
        g_assert_null(entry(set, "c")->config);
        assert_told(set, true, 0, "VHID=1 on eth0 is taken by */a.vip*");
        assert_told(set, true, 0, "the address 192.0.2.10 belongs to */a.vip already");
}

static void test_passphrases(Fixture *f, gconstpointer data) {
        static const struct {
                const char *text, *pattern;
                mode_t mode;
        } files[] = {
                { "", "the first line of the passphrase file * is empty", 0600 },
                { "\nsecond\n", "the first line of the passphrase file * is empty", 0600 },
                { "12345678901234567890\n", "the passphrase in * is longer than 19 bytes*", 0600 },
                { "secret\n", "others can read the passphrase file * (mode 0644)*", 0644 },
        };
        g_autofree char *text = vip(f, "", "");
        uint8_t key[CARP_KEY_BYTES_MAX];
        size_t n;

        put(f->high, "web.vip", text);
        for (size_t k = 0; k < G_N_ELEMENTS(files); k++) {
                g_autoptr(ConfigSet) set = NULL;

                put_mode(f->root, "key", files[k].text, -1, files[k].mode);
                set = load(f);
                g_assert_null(entry(set, "web")->config);
                assert_told(set, true, 6, files[k].pattern);
        }
        {
                g_autofree char *path = g_build_filename(f->root, "key", NULL), *sentence = NULL;

                put_mode(f->root, "key", "cr stays\r\nrest", -1, 0640);
                g_assert_cmpint(config_read_passphrase_file(path, true, key, &n, &sentence), ==, 0);
                g_assert_cmpmem(key, n, "cr stays\r", 9);
                put_mode(f->root, "key", "a\0b\n", 4, 0600);
                g_assert_cmpint(config_read_passphrase_file(path, true, key, &n, &sentence), <, 0);
                g_assert_nonnull(strstr(sentence, "NUL"));
        }
}

static void test_a_passphrase_in_a_readable_file_is_refused(Fixture *f, gconstpointer data) {
        const char *text = "[VIP]\nAddress=192.0.2.10\nInterface=eth0\n[CARP]\nVHID=1\nPassphrase= two # words\n";
        g_autoptr(ConfigSet) open_set = NULL, set = NULL;

        put_mode(f->high, "web.vip", text, -1, 0644);
        open_set = load(f);
        g_assert_null(entry(open_set, "web")->config);
        assert_told(open_set, true, 6, "*others can read it*");
        put(f->high, "web.vip", text);
        set = load(f);
        g_assert_cmpmem(good(set, "web")->carp.key, good(set, "web")->carp.n_key_bytes, "two # words", 11);
}

static void test_a_credential_is_the_passphrase_when_the_file_has_none(Fixture *f, gconstpointer data) {
        g_autoptr(ConfigSet) set = NULL;

        put(f->high, "web.vip", "[VIP]\nAddress=192.0.2.10\nInterface=eth0\n[CARP]\nVHID=1\n");
        put(f->root, "vipd.web", "from systemd\n");
        set = load(f);
        g_assert_cmpmem(good(set, "web")->carp.key, good(set, "web")->carp.n_key_bytes, "from systemd", 12);
}

static void test_precedence_drop_ins_and_masks(Fixture *f, gconstpointer data) {
        g_autofree char *text = vip(f, "", "AdvSkew=1\n"), *lower = vip(f, "", "AdvSkew=2\n");
        g_autofree char *mask = g_build_filename(f->high, "gone.vip", NULL);
        g_autoptr(ConfigSet) set = NULL;
        const InstanceConfig *c;

        put(f->high, "web.vip", text);
        put(f->low, "web.vip", lower);
        put(f->low, "gone.vip", lower);
        g_assert_cmpint(symlink("/dev/null", mask), ==, 0);
        put(f->low, "web.vip.d/10-a.conf", "[CARP]\nAdvSkew=10\n[VIP]\nAddress=192.0.2.11\n");
        put(f->high, "web.vip.d/20-b.conf", "[CARP]\nAdvSkew=20\n");
        put(f->low, "web.vip.d/20-b.conf", "[CARP]\nAdvSkew=99\n");
        set = load(f);
        c = good(set, "web");
        g_assert_cmpuint(set->diagnostics->len, ==, 0);
        g_assert_cmpuint(c->carp.advskew, ==, 20);
        g_assert_cmpuint(c->n_addresses, ==, 2);
        g_assert_null(entry(set, "gone"));
}

static void test_texts_that_are_no_texts(Fixture *f, gconstpointer data) {
        g_autofree char *big = g_strnfill(70000, '#');
        g_autoptr(ConfigSet) set = NULL;

        put_mode(f->high, "nul.vip", "[VIP]\nAddr\0ess=1\n", 17, 0600);
        put(f->high, "utf.vip", "[VIP]\nDescription=\xff\xfe\n");
        put(f->high, "big.vip", big);
        put(f->high, "section.vip", "Address=1\n[VIP\n");
        put(f->high, "-bad.vip", "");
        set = load(f);
        assert_told(set, true, 2, "this line is not UTF-8 text");
        assert_told(set, true, 0, "not a regular file of at most 64 KiB");
        assert_told(set, true, 1, "a key stands before the first ?Section?");
        assert_told(set, true, 2, "the section header * has no closing ?");
        assert_told(set, true, 0, "\"-bad\" cannot name an instance*");
        for (guint k = 0; k < set->entries->len; k++)
                g_assert_null(((ConfigEntry *) g_ptr_array_index(set->entries, k))->config);
}

static void test_a_repeated_key_counts_once_with_a_warning(Fixture *f, gconstpointer data) {
        g_autofree char *text = vip(f, "", "AdvSkew=1\r\nAdvSkew=2\r\n");
        g_autoptr(ConfigSet) set = NULL;

        put(f->high, "web.vip", text);
        set = load(f);
        g_assert_cmpuint(good(set, "web")->carp.advskew, ==, 2);
        assert_told(set, false, 8, "AdvSkew= was set in line 7 already*");
}

static void test_the_daemons_own_file(Fixture *f, gconstpointer data) {
        g_autoptr(ConfigSet) set = NULL, bad = NULL;

        put(f->low, "vipd.conf", "[Daemon]\nLogLevel=debug\n");
        set = load(f);
        g_assert_cmpint(set->daemon.log_level, ==, LOG_DEBUG);
        put(f->high, "vipd.conf", "[Daemon]\nLogLevel=loud\nColour=red\n");
        bad = load(f);
        assert_told(bad, true, 2, "LogLevel=loud: allowed is emerg*");
        assert_told(bad, false, 3, "unknown key Colour=*");
        g_assert_cmpint(bad->daemon.log_level, ==, LOG_INFO);
}

static void test_times(void) {
        static const struct {
                const char *text;
                uint64_t usec;
        } times[] = { { "0", 0 }, { "3", 3000000 }, { "500ms", 500000 }, { "1.5s", 1500000 }, { "1min 30s", 90000000 }, { "2h", 7200000000 }, { "10us", 10 }, { "1 min", 60000000 } };
        static const char *const wrong[] = { "", "x", "1x", "-1", "1..5s", "99999999999w", " 1", "ms" };
        uint64_t usec;

        for (size_t k = 0; k < G_N_ELEMENTS(times); k++) {
                g_assert_cmpint(config_parse_usec(times[k].text, &usec), ==, 0);
                g_assert_cmpuint(usec, ==, times[k].usec);
        }
        for (size_t k = 0; k < G_N_ELEMENTS(wrong); k++)
                g_assert_cmpint(config_parse_usec(wrong[k], &usec), <, 0);
}

static void test_leases(void) {
        g_autoptr(InstanceConfig) c = instance_config_new_default("x");

        g_assert_cmpuint(instance_config_lease_sec(c), ==, 2);
        c->carp.advbase = 0;
        g_assert_cmpuint(instance_config_lease_sec(c), ==, 1);
        c->carp.advbase = 254;
        c->carp.dead_ratio = UINT32_MAX;
        g_assert_cmpuint(instance_config_lease_sec(c), ==, 86400);
        c->lease = CONFIG_LEASE_NO;
        g_assert_cmpuint(instance_config_lease_sec(c), ==, 0);
}

#define ADD(name) g_test_add("/config/" #name, Fixture, NULL, set_up, test_##name, tear_down)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        ADD(defaults_are_the_designs);
        ADD(every_key_is_read);
        ADD(a_reload_notices_each_of_the_unit_keys);
        ADD(each_mistake_has_its_line_and_sentence);
        ADD(later_sections_are_refused_as_not_supported);
        ADD(unknown_words_are_warned_of_with_the_nearest);
        ADD(all_that_is_missing_is_told_at_once);
        ADD(conflicts_break_the_later_instance_alone);
        ADD(passphrases);
        ADD(a_passphrase_in_a_readable_file_is_refused);
        ADD(a_credential_is_the_passphrase_when_the_file_has_none);
        ADD(precedence_drop_ins_and_masks);
        ADD(texts_that_are_no_texts);
        ADD(a_repeated_key_counts_once_with_a_warning);
        ADD(the_daemons_own_file);
        g_test_add_func("/config/times", test_times);
        g_test_add_func("/config/leases", test_leases);
        return g_test_run();
}
