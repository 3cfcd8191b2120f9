/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <glib/gstdio.h>
#include <pwd.h>
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
                                    "Description=a # b\nEnabled=no\nSyncGroup=router\nMACAddress=virtual\nLease=5s\nStartDelay=250ms # a comment\n",
                                    "AdvBase=2\nAdvSkew=100\nDeadRatio=4\nPreempt=true\nPreemptDelay=1min 30s\nSourceAddress=192.0.2.1\n"
                                    "Multicast=off\nPeers=192.0.2.2 192.0.2.3\nReplayProtection=strict\nDemotionByte=yes\nDigestAddresses=first\n"
                                    "[Announce]\nCount=3\n"
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
        g_assert_cmpstr(c->sync_group, ==, "router");
        g_assert_true(c->virtual_mac);
        g_assert_cmpuint(instance_config_lease_sec(c), ==, 5);
        g_assert_cmpuint(c->start_delay_usec, ==, 250000);
        g_assert_cmpuint(c->carp.dead_ratio, ==, 4);
        g_assert_true(c->carp.preempt);
        g_assert_cmpuint(c->carp.preempt_delay_usec, ==, 90000000);
        g_assert_cmpuint(c->carp.source_ipv4.bytes[3], ==, 1);
        g_assert_false(c->carp.multicast);
        g_assert_cmpuint(c->carp.n_peers, ==, 2);
        g_assert_true(c->carp.strict_replay);
        g_assert_true(c->carp.demotion_byte);
        g_assert_true(c->carp.digest_first);
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
static void test_a_reload_notices_each_of_the_later_keys(Fixture *f, gconstpointer data) {
        static const char *const lines[] = { "[Takeover]\nUnitsBeforeAddress=yes\n", "[Takeover]\nUnitTimeout=5s\n",
                                             "[Takeover]\nOnUnitFailure=demote\n", "DigestAddresses=first\n",
                                             "[VIP]\nMACAddress=virtual\n" };
        g_autofree char *text = vip(f, "", "");
        g_autoptr(ConfigSet) before = NULL;

        put(f->high, "web.vip", text);
        before = load(f);
        for (size_t k = 0; k < G_N_ELEMENTS(lines); k++) {
                g_autofree char *changed = g_strconcat(text, lines[k], NULL);
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
        { "Address=192.0.2.300\n", "", "Address=192.0.2.300: is no address; allowed are*" },
        { "Address=192.0.2.1/33\n", "", "Address=192.0.2.1/33: is no address*" },
        { "Address=192.0.2.1/\n", "", "*is no address*" },
        { "Address=192.0.2.1/-1\n", "", "*is no address*" },
        { "Address=2001:db8::1/129\n", "", "*is no address*" },
        { "Address=fe80::1%eth0\n", "", "*is no address*" },
        { "Address=web.example\n", "", "*is no address*" },
        { "Address=192.0.2.1,192.0.2.2\n", "", "*is no address*" },
        { "Address=192.0.2.1/0\n", "", "Address=192.0.2.1/0: has the length 0*" },
        { "Address=192.0.2.0/24\n", "", "Address=192.0.2.0/24: is the network address of its own subnet*" },
        { "Address=192.0.2.127/25\n", "", "Address=192.0.2.127/25: is the broadcast address of its own subnet*" },
        { "Address=2001:db8::/64\n", "", "Address=2001:db8::/64: is the anycast address of all routers*" },
        { "Address=224.0.0.1\n", "", "Address=224.0.0.1: is a multicast address*" },
        { "Address=255.255.255.255\n", "", "*is the broadcast address, which*" },
        { "Address=240.0.0.1\n", "", "*is in 240.0.0.0/4, which is reserved*" },
        { "Address=0.0.0.0\n", "", "*is the unspecified address*" },
        { "Address=0.1.2.3\n", "", "*is in 0.0.0.0/8*" },
        { "Address=127.0.0.2/8\n", "", "*is a loopback address*" },
        { "Address=169.254.0.9\n", "", "*is in the part of 169.254.0.0/16 that is reserved*" },
        { "Address=169.254.255.9/16\n", "", "*is in the part of 169.254.0.0/16 that is reserved*" },
        { "Address=::1\n", "", "*is the loopback address*" },
        { "Address=::\n", "", "*is the unspecified address*" },
        { "Address=ff02::1\n", "", "*is a multicast address*" },
        { "Address=::ffff:192.0.2.9\n", "", "*is an IPv4 address in IPv6 notation*" },
        { "Address=192.0.2.10\n", "", "Address=192.0.2.10: was listed in */web.vip:2 already*" },
        { "[VIP] Enabled=no\n", "", "there is text behind the section header*" },
        { "[VIP]# comment\n", "", "there is text behind the section header*" },
        { "[VIP]]\n", "", "there is text behind the section header*" },
        { "[VIP\n", "", "the section header has no closing ?" },
        { "Description=a\033]0;b\a\n", "", "this line has a control character*" },
        { "Description=a\302\233m\n", "", "this line has a control character*" },
        { "Lease=86400\n", "", "Lease=86400: allowed is*" },
        { "Lease=-1\n", "", "Lease=-1: allowed is*" },
        { "Lease=\n", "", "Lease=: allowed is*" },
        { "Enabled=\n", "", "Enabled=: allowed is yes or no" },
        { "Interface=\n", "", "Interface=: allowed is*" },
        { "Interface=..\n", "", "Interface=..: allowed is*" },
        { "Interface=eth0 eth1\n", "", "Interface=eth0 eth1: allowed is*" },
        { "StartDelay=500\302\265\n", "", "StartDelay=500\302\265: allowed is a time*" },
        { "StartDelay=99999999999999999999\n", "", "StartDelay=99999999999999999999: allowed is*" },
        { "SyncGroup=a b\n", "", "SyncGroup=a b: allowed is a name of 1 to 64 letters*" },
        { "MACAddress=02:00:00:00:00:01\n", "", "MACAddress=02:00:00:00:00:01: allowed is interface or virtual" },
        { "this is no key\n", "", "*neither Key=Value*" },
        { "", "VHID=0\n", "VHID=0: allowed is a whole number from 1 to 255" },
        { "", "VHID=256\n", "VHID=256: allowed is*" },
        { "", "VHID=0x10\n", "VHID=0x10: allowed is*" },
        { "", "AdvBase=255\n", "AdvBase=255: allowed is a whole number from 0 to 254" },
        { "", "AdvSkew=-1\n", "AdvSkew=-1: allowed is*" },
        { "", "DeadRatio=0\n", "DeadRatio=0: allowed is a whole number from 1 to 255" },
        { "", "AdvSkew=\n", "AdvSkew=: allowed is*" },
        { "", "VHID=\n", "VHID=: allowed is*" },
        { "", "VHID=1 2\n", "VHID=1 2: allowed is*" },
        { "", "VHID=\331\241\n", "VHID=\331\241: allowed is*" },
        { "", "VHID=~\n", "VHID=~: allowed is*" },
        { "", "VHID=18446744073709551617\n", "VHID=18446744073709551617: allowed is*" },
        { "", "VHID=+1\n", "VHID=+1: allowed is*" },
        { "", "DeadRatio=4294967297\n", "DeadRatio=4294967297: allowed is*" },
        { "", "Multicast=2\n", "Multicast=2: allowed is yes or no" },
        { "", "PreemptDelay=\n", "PreemptDelay=: allowed is a time*" },
        { "", "PreemptDelay=1 fortnight\n", "PreemptDelay=1 fortnight: allowed is a time*" },
        { "", "PreemptDelay=367d\n", "PreemptDelay=367d: allowed is a time*" },
        { "", "PreemptDelay=infinity\n", "PreemptDelay=infinity: allowed is a time*" },
        { "", "PassphraseFile=~/key\n", "PassphraseFile= is no absolute path*" },
        { "", "PassphraseFile=/nonexistent/geheim\n", "PassphraseFile= names no file that exists" },
        { "", "PassphraseFile=/dev/null/geheim\n", "PassphraseFile= names no file that exists" },
        { "", "PassphraseFile=/dev/null\n", "the passphrase file /dev/null is not a regular file" },
        { "", "Peers=192.0.2.256\n", "Peers=192.0.2.256: is no address; allowed is a list of unicast*" },
        { "", "Peers=192.0.2.2 224.0.0.18\n", "Peers=224.0.0.18: is a multicast address*" },
        { "", "Peers=::ffff:192.0.2.2\n", "*is an IPv4 address in IPv6 notation*" },
        { "", "Peers=2001:db8::2\n", "Peers= names an IPv6 address, but Address= has none*" },
        { "", "Peers=192.0.2.2 192.0.2.10\n", "Peers= names an address of Address=*" },
        { "", "SourceAddress=127.0.0.1\n", "SourceAddress=127.0.0.1: is a loopback address*" },
        { "", "SourceAddress=192.0.2.1/24\n", "SourceAddress=192.0.2.1/24: is no address*" },
        { "", "[Announce]\nCount=0\n", "Count=0: allowed is a whole number from 1 to 100" },
        { "", "[Announce]\nCount=101\n", "Count=101: allowed is*" },
        { "", "[Announce]\nInterval=0\n", "Interval=0: allowed is a time of at least 1ms*" },
        { "", "[Announce]\nRefresh=999us\n", "Refresh=999us: allowed is a time of at least 1ms*" },
        { "", "[Takeover]\nUpScript=bin/up\n", "UpScript=bin/up: allowed is an absolute path" },
        { "", "[Takeover]\nDownScript=~/down\n", "DownScript=~/down: allowed is an absolute path" },
        { "", "[Takeover]\nDemoteHold=\n", "DemoteHold=: allowed is a time*" },
        { "", "ReplayProtection=yes\n", "ReplayProtection=yes: allowed is no or strict" },
        { "", "DemotionByte=yes\nAdvBase=0\n", "DemotionByte=yes needs an AdvBase= of at least 1*" },
        { "", "DigestAddresses=2\n", "DigestAddresses=2: allowed is all or first" },
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

/* Lines 1 to 6 are those of vip(). */
static void test_what_checks_cannot_do_is_warned_of(Fixture *f, gconstpointer data) {
        static const struct {
                const char *text;
                unsigned line; /* 0: nothing is told */
                const char *pattern;
        } cases[] = {
                { "[Check a]\nType=tcp\nAddress=h:1\n", 7, "?Check a?: OnFailure=demote moves *Preempt=yes*" },
                { "[Check a]\nType=tcp\nAddress=h:1\nOnFailure=demote\n", 10, "?Check a?: OnFailure=demote moves *" },
                { "[Check a]\nType=tcp\nAddress=h:1\nOnFailure=release\n", 0, NULL },
                { "Preempt=yes\n[Check a]\nType=tcp\nAddress=h:1\n", 0, NULL },
                { "DemotionByte=yes\n[Check a]\nType=tcp\nAddress=h:1\n", 0, NULL },
                { "AdvBase=0\n[Check a]\nType=tcp\nAddress=h:1\n", 0, NULL },
                { "Preempt=yes\n[Check a]\nType=tcp\nAddress=h:1\nTimeout=3s\n", 11, "?Check a?: Timeout= is longer than Interval=*" },
                { "Preempt=yes\n[Check a]\nType=tcp\nAddress=h:1\nInterval=500ms\n", 8, "?Check a?: Timeout= is longer than Interval=*" },
                { "Preempt=yes\n[Check a]\nType=tcp\nAddress=h:1\nTimeout=2s\n", 0, NULL },
                { "Preempt=yes\n[Check a]\nType=unit\nUnit=a.service\nTimeout=3s\n", 0, NULL },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                g_autofree char *text = vip(f, "", cases[k].text);
                g_autoptr(ConfigSet) set = NULL;

                put(f->high, "web.vip", text);
                set = load(f);
                (void) good(set, "web");
                g_assert_cmpuint(set->diagnostics->len, ==, cases[k].line > 0);
                if (cases[k].line > 0)
                        assert_told(set, false, cases[k].line, cases[k].pattern);
        }
}

/* Who checks as root sees more than the daemon will. */
static void test_what_the_daemon_cannot_read_is_an_error(Fixture *f, gconstpointer data) {
        const char *directories[] = { f->high, NULL };
        g_autofree char *text = vip(f, "", ""), *key = g_build_filename(f->root, "key", NULL), *file = g_build_filename(f->high, "web.vip", NULL);
        const struct passwd *nobody = getpwnam("nobody");
        static const struct {
                bool own, own_group;
                mode_t mode, file_mode;
                const char *pattern;
        } cases[] = {
                { false, false, 0600, 0644, "*key cannot be read: *tried as user nobody*chgrp the file to nobody*" },
                { false, false, 0640, 0644, "*key cannot be read: *tried as user nobody*" },
                { false, true, 0640, 0644, NULL },
                { true, false, 0600, 0644, NULL },
                { true, false, 0600, 0600, "cannot be read: *tried as user nobody*" },
        };

        if (geteuid() != 0 || !nobody) {
                g_test_skip("only root sees more than others");
                return;
        }
        g_assert_cmpint(chmod(f->root, 0755), ==, 0);
        put(f->high, "web.vip", text);
        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                g_autoptr(ConfigSet) set = NULL, own = NULL;

                g_assert_cmpint(chown(key, cases[k].own ? nobody->pw_uid : 0, cases[k].own_group ? nobody->pw_gid : 0), ==, 0);
                g_assert_cmpint(chmod(key, cases[k].mode), ==, 0);
                g_assert_cmpint(chmod(file, cases[k].file_mode), ==, 0);
                set = config_load_for("nobody", directories, NULL);
                g_assert_cmpuint(config_set_n_errors(set), ==, cases[k].pattern != NULL);
                if (cases[k].pattern)
                        assert_told(set, true, cases[k].file_mode == 0600 ? 0 : 6, cases[k].pattern);
                own = config_load(directories, NULL);
                g_assert_cmpuint(config_set_n_errors(own), ==, 0);
        }
}

static const CheckConfig *check(const InstanceConfig *c, guint k) {
        g_assert_cmpuint(k, <, c->checks->len);
        return g_ptr_array_index(c->checks, k);
}

static void test_checks_of_every_type(Fixture *f, gconstpointer data) {
        g_autofree char *text = vip(f, "",
                                    "Preempt=yes\n[Check haproxy]\nType=unit\nUnit=haproxy.service\n"
                                    "[Check uplink]\nType=link\nInterface=eth1\nOnFailure=release\nRise=1\nFall=1\n"
                                    "[Check script]\nType=command\nCommand=/bin/test -e \"/run/a b\"\nInterval=500ms\nTimeout=250ms\nWeight=7\n"
                                    "[Check page]\nType=http\nURL=https://192.0.2.1:8443/health?x=1\nMethod=HEAD\nExpectStatus=200-204 301\n"
                                    "Expect=^ok|fine$\nVerifyTLS=no\nCAFile=/ca.pem\nUnixSocket=/run/sock\nFollowRedirects=yes\n"
                                    "[Check port]\nType=tcp\nAddress=[2001:db8::1]:80\n");
        g_autoptr(ConfigSet) set = NULL;
        const InstanceConfig *c;

        put(f->high, "web.vip", text);
        put(f->high, "web.vip.d/10-slow.conf", "[Check port]\nInterval=10s\n[Check more]\nType=tcp\nAddress=localhost:1\n");
        set = load(f);
        c = good(set, "web");
        g_assert_cmpuint(set->diagnostics->len, ==, 0);
        g_assert_cmpuint(c->checks->len, ==, 6);
        g_assert_cmpstr(check(c, 0)->name, ==, "haproxy");
        g_assert_cmpint(check(c, 0)->type, ==, CHECK_TYPE_UNIT);
        g_assert_cmpstr(check(c, 0)->unit, ==, "haproxy.service");
        g_assert_cmpuint(check(c, 0)->interval_usec, ==, 2000000);
        g_assert_cmpuint(check(c, 0)->timeout_usec, ==, 1000000);
        g_assert_cmpuint(check(c, 0)->rise, ==, 2);
        g_assert_cmpuint(check(c, 0)->fall, ==, 3);
        g_assert_cmpuint(check(c, 0)->weight, ==, 100);
        g_assert_false(check(c, 0)->release);
        g_assert_cmpstr(check(c, 1)->interface, ==, "eth1");
        g_assert_true(check(c, 1)->release);
        g_assert_cmpuint(check(c, 1)->rise, ==, 1);
        g_assert_cmpuint(check(c, 1)->fall, ==, 1);
        g_assert_cmpint((int) g_strv_length(check(c, 2)->command), ==, 3);
        g_assert_cmpstr(check(c, 2)->command[2], ==, "/run/a b");
        g_assert_cmpuint(check(c, 2)->interval_usec, ==, 500000);
        g_assert_cmpuint(check(c, 2)->timeout_usec, ==, 250000);
        g_assert_cmpuint(check(c, 2)->weight, ==, 7);
        g_assert_cmpstr(check(c, 3)->url, ==, "https://192.0.2.1:8443/health?x=1");
        g_assert_cmpstr(check(c, 3)->method, ==, "HEAD");
        g_assert_cmpstr(check(c, 3)->expect_status, ==, "200-204 301");
        g_assert_cmpstr(check(c, 3)->expect, ==, "^ok|fine$");
        g_assert_false(check(c, 3)->verify_tls);
        g_assert_cmpstr(check(c, 3)->ca_file, ==, "/ca.pem");
        g_assert_cmpstr(check(c, 3)->unix_socket, ==, "/run/sock");
        g_assert_true(check(c, 3)->follow_redirects);
        g_assert_cmpstr(check(c, 4)->address, ==, "[2001:db8::1]:80");
        g_assert_cmpuint(check(c, 4)->interval_usec, ==, 10000000);
        g_assert_cmpstr(check(c, 5)->name, ==, "more");
        g_assert_true(check(c, 4)->verify_tls);
        g_assert_cmpstr(check(c, 4)->method, ==, "GET");
        g_assert_cmpstr(check(c, 4)->expect_status, ==, "200-299");
}

/* What a reload compares: each key of a check, one at a time. */
static void test_a_reload_notices_each_key_of_a_check(Fixture *f, gconstpointer data) {
        static const char *const changes[] = {
                "Type=tcp\nAddress=a:1\n", "URL=http://b/\n", "Method=HEAD\n", "ExpectStatus=204\n", "Expect=x\n", "VerifyTLS=no\n",
                "CAFile=/b\n", "UnixSocket=/b\n", "FollowRedirects=yes\n", "Interval=3s\n", "Timeout=2s\n", "Rise=4\n", "Fall=4\n",
                "OnFailure=release\n", "Weight=4\n", "[Check b]\nType=unit\nUnit=b.service\n",
        };
        g_autofree char *text = vip(f, "", "[Check a]\nType=http\nURL=http://a/\n");
        g_autoptr(ConfigSet) before = NULL;

        put(f->high, "web.vip", text);
        before = load(f);
        for (size_t k = 0; k < G_N_ELEMENTS(changes); k++) {
                g_autofree char *drop_in = g_strdup_printf("[Check a]\n%s", changes[k]);
                g_autoptr(ConfigSet) after = NULL;

                put(f->high, "web.vip.d/x.conf", drop_in);
                after = load(f);
                g_test_message("%s", changes[k]);
                g_assert_nonnull(entry(after, "web")->config);
                g_assert_true(instance_config_equal(entry(before, "web")->config, entry(before, "web")->config));
                g_assert_false(instance_config_equal(entry(before, "web")->config, entry(after, "web")->config));
        }
}

static void test_each_mistake_in_a_check_has_its_line_and_sentence(Fixture *f, gconstpointer data) {
        static const struct {
                unsigned line;
                bool error;
                const char *text, *pattern;
        } wrong[] = {
                { 7, true, "[Check]\n", "a check needs a name: *" },
                { 7, true, "[Check a b]\n", "a check needs a name: *" },
                { 7, true, "[Check a]\n", "?Check a?: Type= is missing" },
                { 7, true, "[Check a]\nUnit=a.service\n", "?Check a?: Type= is missing" },
                { 7, true, "[Check a]\nType=unit\n", "?Check a?: Unit= is missing" },
                { 7, true, "[Check a]\nType=link\n", "?Check a?: Interface= is missing" },
                { 7, true, "[Check a]\nType=command\n", "?Check a?: Command= is missing" },
                { 7, true, "[Check a]\nType=http\n", "?Check a?: URL= is missing" },
                { 7, true, "[Check a]\nType=tcp\n", "?Check a?: Address= is missing" },
                { 8, true, "[Check a]\nType=ping\n", "Type=ping: allowed is unit, link, command, http or tcp" },
                { 9, true, "[Check a]\nType=unit\nUnit=haproxy\n", "Unit=haproxy: allowed is the full name of a unit*" },
                { 9, true, "[Check a]\nType=command\nCommand=true\n", "Command=true: allowed is an absolute path*" },
                { 9, true, "[Check a]\nType=command\nCommand=/bin/echo \"x\n", "Command=*: allowed is an absolute path and arguments, with quotes in pairs*" },
                { 9, true, "[Check a]\nType=http\nURL=ftp://a/\n", "URL=ftp://a/: allowed is http://HOST*" },
                { 9, true, "[Check a]\nType=http\nURL=http:///x\n", "URL=http:///x: allowed is http://HOST*" },
                { 10, true, "[Check a]\nType=http\nURL=http://a/\nExpectStatus=20x\n", "ExpectStatus=20x: allowed is a list of statuses*" },
                { 10, true, "[Check a]\nType=http\nURL=http://a/\nExpectStatus=299-200\n", "ExpectStatus=299-200: allowed is a list*" },
                { 10, true, "[Check a]\nType=http\nURL=http://a/\nMethod=get\n", "Method=get: allowed is a method of HTTP in capitals*" },
                { 10, true, "[Check a]\nType=http\nURL=http://a/\nExpect=(\n", "Expect=(: allowed is a regular expression*" },
                { 9, true, "[Check a]\nType=tcp\nAddress=192.0.2.1\n", "Address=192.0.2.1: allowed is HOST:PORT*" },
                { 9, true, "[Check a]\nType=tcp\nAddress=2001:db8::1:80\n", "Address=*: allowed is HOST:PORT, and ?ADDRESS?:PORT for IPv6" },
                { 9, true, "[Check a]\nType=tcp\nAddress=a:0\n", "Address=a:0: allowed is HOST:PORT*" },
                { 8, true, "[Check a]\nInterval=10ms\n", "Interval=10ms: allowed is a time from 100ms to 1h*" },
                { 8, true, "[Check a]\nTimeout=0\n", "Timeout=0: allowed is a time from 10ms to 1h*" },
                { 8, true, "[Check a]\nRise=0\n", "Rise=0: allowed is a whole number from 1 to 100" },
                { 8, true, "[Check a]\nFall=101\n", "Fall=101: allowed is a whole number from 1 to 100" },
                { 8, true, "[Check a]\nWeight=255\n", "Weight=255: allowed is a whole number from 1 to 254" },
                { 8, true, "[Check a]\nOnFailure=stop\n", "OnFailure=stop: allowed is demote or release" },
                { 10, false, "[Check a]\nType=tcp\nAddress=a:1\nURL=http://a/\n", "URL= says nothing to a check with Type=tcp, ignored" },
                { 8, false, "[Check a]\nIntervall=1s\n", "unknown key Intervall= in ?Check a?, ignored; did you mean Interval= in ?Check??" },
        };

        for (size_t k = 0; k < G_N_ELEMENTS(wrong); k++) {
                g_autofree char *text = vip(f, "", wrong[k].text);
                g_autoptr(ConfigSet) set = NULL;

                put(f->high, "web.vip", text);
                set = load(f);
                g_test_message("%s", wrong[k].text);
                assert_told(set, wrong[k].error, wrong[k].line, wrong[k].pattern);
                if (wrong[k].error)
                        g_assert_null(entry(set, "web")->config);
        }
}

static void test_an_instance_has_at_most_sixteen_checks(Fixture *f, gconstpointer data) {
        g_autoptr(GString) checks = g_string_new(NULL);
        g_autofree char *text = NULL;
        g_autoptr(ConfigSet) set = NULL;

        for (unsigned k = 0; k < 17; k++)
                g_string_append_printf(checks, "[Check c%u]\nType=tcp\nAddress=a:1\n", k);
        text = vip(f, "", checks->str);
        put(f->high, "web.vip", text);
        set = load(f);
        assert_told(set, true, 7 + 3 * 16, "this is one check more than the 16 that an instance may have");
}

static void test_unknown_words_are_warned_of_with_the_nearest(Fixture *f, gconstpointer data) {
        g_autofree char *text = vip(f, "Adress=192.0.2.11\n", "[Anounce]\n[Takeover]\nUpscript=/x\n");
        g_autoptr(ConfigSet) set = NULL;

        put(f->high, "web.vip", text);
        set = load(f);
        (void) good(set, "web");
        assert_told(set, false, 4, "unknown key Adress=*did you mean Address= in ?VIP??");
        assert_told(set, false, 8, "unknown section ?Anounce?, ignored with all its keys; did you mean ?Announce??");
        assert_told(set, false, 10, "unknown key Upscript=*UpScript=*");
}

static void put_member(Fixture *f, const char *name, unsigned vhid, const char *head, const char *carp) {
        g_autofree char *file = g_strconcat(name, ".vip", NULL);
        g_autofree char *text = g_strdup_printf("[VIP]\nAddress=192.0.2.%u\nInterface=eth%u\n%s[CARP]\nVHID=%u\nPassphraseFile=%s/key\n%s",
                                                vhid, vhid % 2, head, vhid, f->root, carp);

        put(f->high, file, text);
}

static void test_members_of_a_group_that_differ_are_warned_of(Fixture *f, gconstpointer data) {
        g_autoptr(ConfigSet) set = NULL, alike = NULL;

        put_member(f, "inside", 1, "SyncGroup=router\n", "AdvSkew=0\n");
        put_member(f, "other", 2, "SyncGroup=another\n", "AdvSkew=7\n");
        put_member(f, "outside", 3, "SyncGroup=router\n", "AdvBase=2\nAdvSkew=100\nPreempt=yes\nDeadRatio=4\n");
        put_member(f, "single", 4, "SyncGroup=\n", "AdvSkew=9\n");
        set = load(f);
        g_assert_cmpuint(set->diagnostics->len, ==, 3);
        assert_told(set, false, 4, "AdvBase= differs from that of inside, which is in the same sync group");
        assert_told(set, false, 4, "AdvSkew= differs from that of inside*");
        assert_told(set, false, 4, "Preempt= differs from that of inside*");
        g_assert_cmpuint(config_set_n_errors(set), ==, 0);
        put_member(f, "outside", 3, "SyncGroup=router\n", "AdvSkew=0\nDeadRatio=4\nPreemptDelay=5s\n");
        alike = load(f);
        g_assert_cmpuint(alike->diagnostics->len, ==, 0);
        g_assert_false(instance_config_equal(good(set, "outside"), good(alike, "outside")));
}

static void test_a_reload_notices_another_group(Fixture *f, gconstpointer data) {
        g_autoptr(ConfigSet) before = NULL, after = NULL;

        put_member(f, "inside", 1, "SyncGroup=router\n", "");
        before = load(f);
        put_member(f, "inside", 1, "SyncGroup=another\n", "");
        after = load(f);
        g_assert_false(instance_config_equal(good(before, "inside"), good(after, "inside")));
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

/* Which line of b says what which line of a said already. */
static void assert_taken(const Fixture *f, const ConfigSet *set, const char *name, unsigned line, const char *what, const char *by) {
        g_autofree char *path = g_strdup_printf("%s/%s", f->high, name), *pattern = g_strdup_printf("%s%s/%s; *", what, f->high, by);

        for (guint k = 0; k < set->diagnostics->len; k++) {
                const ConfigDiagnostic *d = g_ptr_array_index(set->diagnostics, k);

                if (d->error && d->line == line && g_str_equal(d->file, path) && g_pattern_match_simple(pattern, d->sentence))
                        return;
        }
        g_test_message("nothing in %s:%u matches %s", path, line, pattern);
        g_assert_not_reached();
}

static void test_conflicts_break_the_later_instance_alone_and_name_both_lines(Fixture *f, gconstpointer data) {
        g_autofree char *text = vip(f, "", "");
        g_autofree char *other = vip(f, "Address=\nAddress=192.0.2.11\n", "");
        g_autofree char *elsewhere = vip(f, "Interface=eth1\n", "");
        g_autoptr(ConfigSet) set = NULL;

        put(f->high, "a.vip", text);
        put(f->high, "b.vip", other);
        put(f->high, "c.vip", elsewhere);
        put(f->high, "d.vip", "garbage");
        put(f->high, "e.vip", other);
        put(f->high, "e.vip.d/x.conf", "[CARP]\n# not in the main file\nVHID=2\n[VIP]\nAddress=\nAddress=192.0.2.12/24 192.0.2.10/24\n");
        set = load(f);
        (void) good(set, "a");
        for (const char *const *n = (const char *const[]) { "b", "c", "d", "e", NULL }; *n; n++)
                g_assert_null(entry(set, *n)->config);
        assert_taken(f, set, "b.vip", 7, "VHID=1 on eth0 is taken by ", "a.vip:5");
        assert_taken(f, set, "c.vip", 2, "Address=192.0.2.10 is taken by ", "a.vip:2");
        assert_taken(f, set, "e.vip.d/x.conf", 6, "Address=192.0.2.10 is taken by ", "a.vip:2");
}

/* fe80::1 is the usual address of a router on each of its links. */
static void test_a_link_local_address_may_stand_on_two_links(Fixture *f, gconstpointer data) {
        static const char format[] = "[VIP]\nAddress=fe80::1\nInterface=%s\n[CARP]\nVHID=%i\nPassphrase=geheim\n";
        g_autofree char *a = g_strdup_printf(format, "eth0", 1), *b = g_strdup_printf(format, "eth1", 1);
        g_autofree char *c = g_strdup_printf(format, "eth0", 2);
        g_autoptr(ConfigSet) set = NULL;

        put(f->high, "a.vip", a);
        put(f->high, "b.vip", b);
        put(f->high, "c.vip", c);
        set = load(f);
        (void) good(set, "a");
        (void) good(set, "b");
        g_assert_null(entry(set, "c")->config);
        assert_taken(f, set, "c.vip", 2, "Address=fe80::1 is taken by ", "a.vip:2");
}

/* A name that the kernel takes, and that no other instance has. */
static void test_the_device_of_a_virtual_mac_has_a_name_of_its_own(Fixture *f, gconstpointer data) {
        static const struct {
                const char *name, *device;
        } cases[] = { { "web", "vip-web" },
                      { "eleven-byte", "vip-eleven-byte" },
                      { "twelve-bytes", "vip-twel-??????" },
                      { "twelve-bytes-and-more", "vip-twel-??????" },
                      { "a:b", "vip-a_b-??????" } };
        g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                g_autoptr(InstanceConfig) c = instance_config_new_default(cases[k].name);
                char device[IF_NAMESIZE];

                g_strlcpy(c->interface, "eth0", sizeof(c->interface));
                g_assert_cmpstr(instance_config_device(c, device), ==, "eth0");
                c->virtual_mac = true;
                g_test_message("%s: %s", c->name, instance_config_device(c, device));
                g_assert_true(g_pattern_match_simple(cases[k].device, device));
                g_assert_true(g_hash_table_add(seen, g_strdup(device)));
        }
}

/* Adverts that are routed do not show a switch where the virtual MAC is. */
static void test_who_advertises_to_peers_alone_announces_again(Fixture *f, gconstpointer data) {
        static const struct {
                const char *head, *carp;
                uint64_t refresh_usec;
        } cases[] = { { "MACAddress=virtual\n", "", CONFIG_USEC_UNSET },
                      { "MACAddress=virtual\n", "Peers=192.0.2.2\n", 60000000 },
                      { "MACAddress=virtual\n", "Peers=192.0.2.2\n[Announce]\nRefresh=5s\n", 5000000 },
                      { "", "Peers=192.0.2.2\n", CONFIG_USEC_UNSET } };

        for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
                g_autofree char *text = vip(f, cases[k].head, cases[k].carp);
                g_autoptr(ConfigSet) set = NULL;

                put(f->high, "web.vip", text);
                set = load(f);
                g_assert_cmpuint(good(set, "web")->announce.refresh_usec, ==, cases[k].refresh_usec);
        }
}

static void test_addresses_that_look_wrong_and_work(Fixture *f, gconstpointer data) {
        static const char line[] = "Address=192.0.2.0/31 198.51.100.255/23 203.0.113.0 2001:db8::/127 2001:db8:0:1::1/64 fe80::1/64 10.0.0.255\n";
        g_autofree char *text = vip(f, line, ""), *strange = vip(f, "Address=169.254.1.1/16\n", "");
        g_autoptr(ConfigSet) set = NULL, strange_set = NULL;

        put(f->high, "web.vip", text);
        set = load(f);
        g_assert_cmpuint(good(set, "web")->n_addresses, ==, 8);
        g_assert_cmpuint(set->diagnostics->len, ==, 0);
        put(f->high, "web.vip", strange);
        strange_set = load(f);
        (void) good(strange_set, "web");
        assert_told(strange_set, false, 4, "Address=169.254.1.1/16: is in 169.254.0.0/16, from which*");
}

/* Everywhere but behind its own key, and even there with the wrong name, the wrong length or twice. */
static void test_no_passphrase_is_repeated_wherever_it_was_misplaced(Fixture *f, gconstpointer data) {
        static const char *const lines[] = {
                "VHID=g3heim/+word=\n",     "Enabled=g3heim/+word=\n",  "Address=g3heim/+word=\n",      "Lease=a g3heim/+word= b\n",
                "Interface=g3heim/+word=\n", "g3heim/+word=\n",          "[g3heim/+word=]\n",            "[g3heim/+word=\n",
                "[VIP] g3heim/+word=\n",    "Peers=g3heim/+word=\n",    "[Check g3heim/+word=]\n",      "g3heim/+word= = g3heim/+word=\n",
                "Count=g3heim/+word=\n",    "UpScript=g3heim/+word=\n", "PassphraseFile=g3heim/+word=\n", "PassphraseFile=/g3heim/+word=\n",
                "SyncGroup=g3heim/+word=\n", "OnUnitFailure=g3heim/+word=\n", "passphrase=g3heim/+word=\n", "Passphrase=g3heim/+word= is too long\n",
        };
        /* where the passphrase is known: in the file, in a file it names, as a credential, in a key with a slip; and where it is not */
        static const char *const known[] = { "Passphrase=g3heim/+word=\n", "PassphraseFile=%s/key\n", "", "Pasphrase=g3heim/+word=\n", "" };
        static const char *const sections[] = { "VIP", "CARP", "Announce", "Takeover" };

        put(f->root, "key", "g3heim/+word=\n");
        for (size_t s = 0; s < G_N_ELEMENTS(known) * G_N_ELEMENTS(lines) * G_N_ELEMENTS(sections); s++) {
                const char *line = lines[s % G_N_ELEMENTS(lines)], *section = sections[s / G_N_ELEMENTS(lines) % G_N_ELEMENTS(sections)];
                const char *key = known[s / G_N_ELEMENTS(lines) / G_N_ELEMENTS(sections)];
                g_autofree char *credential = g_build_filename(f->root, "vipd.web", NULL);
                g_autofree char *known_line = g_str_has_suffix(key, "key\n") ? g_strdup_printf("PassphraseFile=%s/key\n", f->root) : g_strdup(key);
                g_autofree char *text = g_strdup_printf("[%s]\n%s[VIP]\nAddress=192.0.2.10\nInterface=eth0\n[CARP]\nVHID=1\n%s", section, line,
                                                        known_line);
                g_autoptr(ConfigSet) set = NULL;

                if (s / G_N_ELEMENTS(lines) / G_N_ELEMENTS(sections) == 2)
                        put(f->root, "vipd.web", "g3heim/+word=\n");
                else
                        (void) g_remove(credential);
                put(f->high, "web.vip", text);
                set = load(f);
                g_assert_cmpuint(set->diagnostics->len, >, 0);
                for (guint d = 0; d < set->diagnostics->len; d++) {
                        g_autofree char *told = config_diagnostic_format(g_ptr_array_index(set->diagnostics, d));

                        if (strstr(told, "g3heim"))
                                g_error("told of %s in [%s]: %s", line, section, told);
                }
        }
}

static void test_what_is_told_is_one_printable_line(Fixture *f, gconstpointer data) {
        g_autofree char *long_word = g_strnfill(5000, 'x');
        g_autofree char *head = g_strdup_printf("Enabled=%s\nLease=\342\200\256a\342\200\250b\n", long_word), *text = vip(f, head, "");
        g_autoptr(ConfigSet) set = NULL;

        put(f->high, "web.vip", text);
        put(f->high, "web.vip.d/\033[2J\n\xff.conf", "[VIP]\nEnabled=x\n");
        put(f->high, "a\nb\033.vip", "");
        set = load(f);
        assert_told(set, true, 4, "Enabled=xxxxxxxxxxxxx*...: allowed is yes or no");
        assert_told(set, true, 5, "Lease=\\u202ea\\u2028b: allowed is*");
        assert_told(set, true, 0, "\"a\\x0ab\\x1b\" cannot name an instance*");
        for (guint k = 0; k < set->diagnostics->len; k++) {
                g_autofree char *line = config_diagnostic_format(g_ptr_array_index(set->diagnostics, k));

                g_assert_true(g_utf8_validate(line, -1, NULL));
                g_assert_cmpuint(strlen(line), <, 1000);
                for (const char *p = line; *p; p++)
                        g_assert_true((unsigned char) *p >= ' ' && *p != 0x7f);
        }
}

/* A file of nothing but mistakes must not cost a log of as many lines; and the last of them counts as an error like the first. */
static void test_not_every_one_of_a_thousand_mistakes_is_told(Fixture *f, gconstpointer data) {
        g_autofree char *text = vip(f, "", "");
        g_autoptr(GString) mistakes_text = g_string_new(text);
        g_autoptr(ConfigSet) set = NULL;

        for (int k = 0; k < 1000; k++)
                g_string_append_printf(mistakes_text, "AdvSkew=x%i\nUnknown%i=\n", k, k);
        put(f->high, "web.vip", mistakes_text->str);
        set = load(f);
        g_assert_null(entry(set, "web")->config);
        g_assert_cmpuint(set->diagnostics->len, ==, 128);
        g_assert_cmpuint(config_set_n_errors(set), ==, 1000);
        assert_told(set, true, 7 + 2 * 63, "too many mistakes*");
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
        g_autofree char *big = g_strnfill(70000, '#'), *x = g_strnfill(200, 'x'), *long_section = g_strdup_printf("[%s]\nVHID=1\n", x);
        g_autoptr(ConfigSet) set = NULL;

        put_mode(f->high, "nul.vip", "[VIP]\nAddr\0ess=1\n", 17, 0600);
        put(f->high, "utf.vip", "[VIP]\nDescription=\xff\xfe\n");
        put(f->high, "big.vip", big);
        put(f->high, "section.vip", "Address=1\n[VIP\n[]\nAddress=2\n");
        put(f->high, "long.vip", long_section);
        put(f->high, "-bad.vip", "");
        set = load(f);
        assert_told(set, true, 2, "this line is not UTF-8 text");
        assert_told(set, true, 0, "not a regular file of at most 64 KiB");
        assert_told(set, true, 1, "this key is in no section*");
        assert_told(set, true, 2, "the section header has no closing ?");
        assert_told(set, false, 3, "unknown section, ignored*");
        assert_told(set, true, 1, "the name of the section is longer than 128 bytes");
        assert_told(set, true, 2, "this key is in no section*");
        assert_told(set, true, 0, "\"-bad\" cannot name an instance*");
        for (guint k = 0; k < set->entries->len; k++)
                g_assert_null(((ConfigEntry *) g_ptr_array_index(set->entries, k))->config);
}

/* None of these may be waited for, read to its end, or taken for an empty directory. */
static void test_files_that_are_no_files(Fixture *f, gconstpointer data) {
        static const char *const links[][2] = { { "loop.vip", "loop.vip" },
                                                { "zero.vip", "/dev/zero" },
                                                { "gone.vip", "/nonexistent" },
                                                { "web.vip.d/loop.conf", "loop.conf" } };
        g_autofree char *text = vip(f, "", ""), *fifo = g_build_filename(f->high, "fifo.vip", NULL);
        g_autofree char *big = g_build_filename(f->high, "big.vip", NULL), *secret = g_strdup_printf("%s/secret", f->root);
        g_autofree char *hang = g_strdup_printf("[VIP]\nAddress=192.0.2.12\nInterface=eth0\n[CARP]\nVHID=9\nPassphraseFile=%s\n", secret);
        g_autofree char *file_as_directory = vip(f, "Address=\nAddress=192.0.2.13\n", "VHID=2\n");
        g_autoptr(ConfigSet) set = NULL;

        put(f->high, "web.vip", text);
        put(f->high, "web.vip.d/ok.conf", "");
        put(f->high, "dir.vip/x", "");
        put(f->high, "hang.vip", hang);
        put(f->high, "fd.vip", file_as_directory);
        put(f->high, "fd.vip.d", "");
        for (size_t k = 0; k < G_N_ELEMENTS(links); k++) {
                g_autofree char *path = g_build_filename(f->high, links[k][0], NULL);

                g_assert_cmpint(symlink(links[k][1], path), ==, 0);
        }
        g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
        g_assert_cmpint(mkfifo(secret, 0600), ==, 0);
        put(f->high, "big.vip", "");
        g_assert_cmpint(truncate(big, 100 << 20), ==, 0);
        set = load(f);
        for (guint k = 0; k < set->entries->len; k++) {
                const ConfigEntry *e = g_ptr_array_index(set->entries, k);
                g_autofree char *problem = config_set_problem(set, e->name);

                g_assert_null(e->config);
                g_assert_nonnull(problem);
        }
        g_assert_cmpuint(set->entries->len, ==, 8);
        g_assert_true(set->incomplete); /* fd.vip.d */
        assert_told(set, true, 0, "not a regular file of at most 64 KiB");
        assert_told(set, true, 0, "cannot be read: Too many levels of symbolic links");
        assert_told(set, true, 0, "cannot be read: No such file or directory");
        assert_told(set, true, 6, "the passphrase file * is not a regular file");
        assert_told(set, false, 0, "is a directory, and not read as a file");
}

/* Root may read everything, so the directory that cannot be read is a file. */
static void test_a_directory_that_cannot_be_read_is_told_once_and_is_not_empty(Fixture *f, gconstpointer data) {
        g_autoptr(ConfigSet) set = NULL;
        guint n = 0;

        put(f->root, "high", "");
        set = load(f);
        g_assert_true(set->incomplete);
        for (guint k = 0; k < set->diagnostics->len; k++)
                n += g_str_equal(((ConfigDiagnostic *) g_ptr_array_index(set->diagnostics, k))->file, f->high) ? 1 : 0;
        g_assert_cmpuint(n, ==, 1);
        g_assert_cmpuint(config_set_n_errors(set), >, 0);
}

/* Every name that is accepted can stand in vipd-master@NAME.target as it is. */
static void test_names_of_instances(Fixture *f, gconstpointer data) {
        static const char *const fine[] = { "a", "web-1", "Web.front_door:2", "0", "_x", ":x" };
        static const char *const wrong[] = { "a b", "-a", "a@b", "a\\x2db", "\303\274", "a%i", "a\"b", "a$b" };
        g_autofree char *longest = g_strnfill(64, 'n'), *longer = g_strnfill(65, 'n');
        g_autoptr(ConfigSet) set = NULL;
        guint n = 0;

        for (size_t k = 0; k < G_N_ELEMENTS(fine) + 1; k++) {
                g_autofree char *name = g_strdup_printf("%s.vip", k < G_N_ELEMENTS(fine) ? fine[k] : longest);
                g_autofree char *text = g_strdup_printf("[VIP]\nAddress=192.0.2.%zu\nInterface=eth0\n[CARP]\nVHID=%zu\nPassphrase=geheim\n", k + 1, k + 1);

                put(f->high, name, text);
        }
        for (size_t k = 0; k < G_N_ELEMENTS(wrong) + 1; k++) {
                g_autofree char *name = g_strdup_printf("%s.vip", k < G_N_ELEMENTS(wrong) ? wrong[k] : longer);

                put(f->high, name, "");
        }
        put(f->high, ".hidden.vip", "garbage");
        set = load(f);
        for (guint k = 0; k < set->entries->len; k++)
                n += ((ConfigEntry *) g_ptr_array_index(set->entries, k))->config ? 1 : 0;
        g_assert_cmpuint(n, ==, G_N_ELEMENTS(fine) + 1);
        g_assert_cmpuint(set->entries->len, ==, G_N_ELEMENTS(fine) + G_N_ELEMENTS(wrong) + 2);
        g_assert_cmpuint(config_set_n_errors(set), ==, G_N_ELEMENTS(wrong) + 1);
}

static void test_comments_and_a_byte_order_mark_change_nothing(Fixture *f, gconstpointer data) {
        g_autofree char *text = g_strdup_printf("\xef\xbb\xbf[VIP] # front\nAddress=192.0.2.10\t# a\nInterface=eth0 # b=c\n; c\n[CARP]\t;d\n"
                                                "VHID=1\nPassphraseFile=%s/key # e\nAdvSkew=7#8\n", f->root);
        g_autoptr(ConfigSet) set = NULL;

        put(f->high, "web.vip", text);
        set = load(f);
        assert_told(set, true, 8, "AdvSkew=7#8: allowed is*");
        g_assert_cmpuint(set->diagnostics->len, ==, 1);
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
        put(f->high, "vipd.conf", "[Daemon]\nLogLevel=loud\nColour=red\n[Deamon]\nLogLevel=err\n[Daemon]\nLogLevel=\342\200\256\n");
        bad = load(f);
        assert_told(bad, true, 2, "LogLevel=loud: allowed is emerg*");
        assert_told(bad, false, 3, "unknown key in ?Daemon?, ignored; did you mean LogLevel=?");
        assert_told(bad, false, 4, "unknown section, ignored; did you mean ?Daemon??");
        assert_told(bad, true, 7, "LogLevel=\\u202e: allowed is*");
        g_assert_cmpint(bad->daemon.log_level, ==, LOG_INFO);
}

static void test_times(void) {
        static const struct {
                const char *text;
                uint64_t usec;
        } times[] = { { "0", 0 }, { "3", 3000000 }, { "500ms", 500000 }, { "1.5s", 1500000 }, { "1min 30s", 90000000 }, { "2h", 7200000000 }, { "10us", 10 }, { "1 min", 60000000 }, { "7\302\265s", 7 }, { "7\316\274s", 7 }, { "2M", 5259600000000 }, { "1y", 31557600000000 }, { "000", 0 }, { "1s1s", 2000000 }, { "3600000000us", UINT64_C(3600000000) }, { "31622400000000us", UINT64_C(31622400000000) } };
        static const char *const wrong[] = { "", "x", "1x", "-1", "1..5s", "99999999999w", " 1", "ms", "1.", ".5", "1,5s", "1\302\265", "1s-1s", "\342\210\236", "1 s x", "367d", "31622400000001us", "99999999999999999999999us", "1MS", "0x1" };
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
        ADD(a_reload_notices_each_of_the_later_keys);
        ADD(each_mistake_has_its_line_and_sentence);
        ADD(what_checks_cannot_do_is_warned_of);
        ADD(what_the_daemon_cannot_read_is_an_error);
        ADD(checks_of_every_type);
        ADD(a_reload_notices_each_key_of_a_check);
        ADD(each_mistake_in_a_check_has_its_line_and_sentence);
        ADD(an_instance_has_at_most_sixteen_checks);
        ADD(unknown_words_are_warned_of_with_the_nearest);
        ADD(all_that_is_missing_is_told_at_once);
        ADD(conflicts_break_the_later_instance_alone_and_name_both_lines);
        ADD(a_link_local_address_may_stand_on_two_links);
        ADD(the_device_of_a_virtual_mac_has_a_name_of_its_own);
        ADD(who_advertises_to_peers_alone_announces_again);
        ADD(addresses_that_look_wrong_and_work);
        ADD(no_passphrase_is_repeated_wherever_it_was_misplaced);
        ADD(what_is_told_is_one_printable_line);
        ADD(not_every_one_of_a_thousand_mistakes_is_told);
        ADD(passphrases);
        ADD(a_passphrase_in_a_readable_file_is_refused);
        ADD(a_credential_is_the_passphrase_when_the_file_has_none);
        ADD(precedence_drop_ins_and_masks);
        ADD(texts_that_are_no_texts);
        ADD(files_that_are_no_files);
        ADD(a_directory_that_cannot_be_read_is_told_once_and_is_not_empty);
        ADD(names_of_instances);
        ADD(comments_and_a_byte_order_mark_change_nothing);
        ADD(a_repeated_key_counts_once_with_a_warning);
        ADD(the_daemons_own_file);
        ADD(members_of_a_group_that_differ_are_warned_of);
        ADD(a_reload_notices_another_group);
        g_test_add_func("/config/times", test_times);
        g_test_add_func("/config/leases", test_leases);
        return g_test_run();
}
