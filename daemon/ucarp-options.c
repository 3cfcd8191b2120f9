/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads ucarp's command line. What worked with ucarp works here and means the same, numbers in C notation and modulo
 * 256 included, since start scripts rely on it; where ucarp was silent about a value that is hardly meant, a warning
 * is logged. What ucarp refused is refused with the same exit status. Judges the words alone: whether the interface
 * and the source address exist is the caller's question. */
#include "ucarp-options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config-load.h"
#include "util/log.h"

const char ucarp_options_help[] =
        "Usage: vipd-ucarp -s ADDRESS -v VHID -p PASSPHRASE -a ADDRESS [OPTION...]\n"
        "\n"
        "Shares one IPv4 address between hosts by CARP, with the command line of ucarp.\n"
        "\n"
        "Election:\n"
        "  -i, --interface=NAME    network interface (default: the one with the source address)\n"
        "  -s, --srcip=ADDRESS     this host's own address on it\n"
        "  -a, --addr=ADDRESS      the shared address\n"
        "  -v, --vhid=NUMBER       number of the group, 1-255, the same on all hosts\n"
        "  -p, --pass=PASSPHRASE   1-19 bytes, the same on all hosts\n"
        "  -o, --passfile=FILE     read the passphrase from the first line of FILE\n"
        "  -b, --advbase=SECONDS   interval of the advertisements (default: 1)\n"
        "  -k, --advskew=NUMBER    plus that many 1/256 s, 0-255; the lower wins (default: 0)\n"
        "  -r, --deadratio=NUMBER  advertisements missed until a backup takes over (default: 3)\n"
        "  -P, --preempt           take over from a master that is worse\n"
        "  -m, --mcastip=ADDRESS   multicast group (default: 224.0.0.18)\n"
        "  -M, --nomcast           Ethernet broadcast instead of multicast\n"
        "  -S, --ignoreifstate     do not mind a missing carrier\n"
        "\n"
        "Scripts, run as SCRIPT INTERFACE ADDRESS [PARAMETER]:\n"
        "  -u, --upscript=FILE     on becoming master\n"
        "  -d, --downscript=FILE   on start and on becoming backup\n"
        "  -x, --xparam=PARAMETER  one more argument for both\n"
        "  -n, --neutral           do not run the down script on start\n"
        "  -z, --shutdown          a master runs the down script at exit\n"
        "\n"
        "Process:\n"
        "  -B, --daemonize         go to the background once all is checked and running\n"
        "  -f, --facility=NAME     syslog facility, or none (default: daemon)\n"
        "  -D, --debug             log more\n"
        "  -h, --help              print this text\n"
        "\n"
        "Signals: USR1 prints the state, USR2 hands the address over, TERM, INT, QUIT and HUP end.\n";

static const struct option long_options[] = {
        { "interface", required_argument, NULL, 'i' },
        { "srcip", required_argument, NULL, 's' },
        { "mcastip", required_argument, NULL, 'm' },
        { "vhid", required_argument, NULL, 'v' },
        { "pass", required_argument, NULL, 'p' },
        { "passfile", required_argument, NULL, 'o' },
        { "preempt", no_argument, NULL, 'P' },
        { "neutral", no_argument, NULL, 'n' },
        { "addr", required_argument, NULL, 'a' },
        { "help", no_argument, NULL, 'h' },
        { "advbase", required_argument, NULL, 'b' },
        { "advskew", required_argument, NULL, 'k' },
        { "upscript", required_argument, NULL, 'u' },
        { "downscript", required_argument, NULL, 'd' },
        { "deadratio", required_argument, NULL, 'r' },
        { "debug", no_argument, NULL, 'D' },
        { "shutdown", no_argument, NULL, 'z' },
        { "daemonize", no_argument, NULL, 'B' },
        { "ignoreifstate", no_argument, NULL, 'S' },
        { "nomcast", no_argument, NULL, 'M' },
        { "facility", required_argument, NULL, 'f' },
        { "xparam", required_argument, NULL, 'x' },
        { NULL },
};

static const struct {
        const char *name;
        int facility;
} facilities[] = {
        { "auth", LOG_AUTH },     { "authpriv", LOG_AUTHPRIV }, { "cron", LOG_CRON },     { "daemon", LOG_DAEMON },
        { "ftp", LOG_FTP },       { "kern", LOG_KERN },         { "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 },
        { "local2", LOG_LOCAL2 }, { "local3", LOG_LOCAL3 },     { "local4", LOG_LOCAL4 }, { "local5", LOG_LOCAL5 },
        { "local6", LOG_LOCAL6 }, { "local7", LOG_LOCAL7 },     { "lpr", LOG_LPR },       { "mail", LOG_MAIL },
        { "news", LOG_NEWS },     { "security", LOG_AUTH },     { "syslog", LOG_SYSLOG }, { "user", LOG_USER },
        { "uucp", LOG_UUCP },
};

static UcarpOutcome G_GNUC_PRINTF(1, 2) wrong_option(const char *format, ...) {
        va_list ap;
        va_start(ap, format);
        g_autofree char *text = g_strdup_vprintf(format, ap);
        va_end(ap);
        log_error("%s", text);
        return UCARP_OUTCOME_WRONG_OPTION;
}

static UcarpOutcome parse_ipv4(const char *option, const char *text, IpAddress *ret) {
        IpAddress a;
        if (ip_address_parse(text, &a) < 0 || a.family != AF_INET)
                return wrong_option("--%s: \"%s\" is not an IPv4 address like 192.0.2.1", option, text);
        *ret = a;
        return UCARP_OUTCOME_RUN;
}

/* The source or the shared address. */
static UcarpOutcome parse_host_address(const char *option, const char *text, IpAddress *ret) {
        IpAddress a = { 0 };
        UcarpOutcome outcome = parse_ipv4(option, text, &a);
        if (outcome != UCARP_OUTCOME_RUN)
                return outcome;
        if (ip_address_is_unusable(&a))
                return wrong_option("--%s: \"%s\" is not the address of a host", option, text);
        *ret = a;
        return UCARP_OUTCOME_RUN;
}

static UcarpOutcome parse_group(const char *text, IpAddress *ret) {
        IpAddress a = { 0 };
        UcarpOutcome outcome = parse_ipv4("mcastip", text, &a);
        if (outcome != UCARP_OUTCOME_RUN)
                return outcome;
        if (!ip_address_is_multicast(&a)) {
                log_error("--mcastip: \"%s\" is not a multicast address; allowed are 224.0.0.0 to 239.255.255.255", text);
                return UCARP_OUTCOME_CANNOT_START;
        }
        *ret = a;
        return UCARP_OUTCOME_RUN;
}

/* As strtoul() has it: C notation, what follows the digits is ignored, negative numbers wrap, no digits are 0. */
static unsigned long parse_number(const char *option, const char *text) {
        char *end;
        errno = 0;
        unsigned long value = strtoul(text, &end, 0);
        if (end == text || *end != '\0' || errno != 0)
                log_warning("--%s: \"%s\" is not a number; it is taken as %lu", option, text, value);
        return value;
}

static uint8_t parse_modulo_256(const char *option, const char *text) {
        unsigned long value = parse_number(option, text);
        if (value > UINT8_MAX)
                log_warning("--%s: \"%s\" is beyond 0 to 255; it is taken modulo 256, as %lu", option, text, value % 256);
        return (uint8_t) (value % 256);
}

static UcarpOutcome parse_vhid(const char *text, uint8_t *ret) {
        unsigned long value = parse_number("vhid", text);
        if (value < 1 || value > UINT8_MAX)
                return wrong_option("--vhid: \"%s\" is not a number from 1 to 255", text);
        *ret = (uint8_t) value;
        return UCARP_OUTCOME_RUN;
}

static UcarpOutcome parse_dead_ratio(const char *text, uint32_t *ret) {
        uint32_t value = (uint32_t) parse_number("deadratio", text);
        if (value == 0)
                return wrong_option("--deadratio: \"%s\" is not a number above 0", text);
        *ret = value;
        return UCARP_OUTCOME_RUN;
}

/* Wipes text: else the passphrase would be in the process list for as long as we run. */
static UcarpOutcome parse_passphrase(char *text, CarpConfig *carp) {
        size_t n = strlen(text);
        if (n == 0)
                return wrong_option("--pass: the passphrase is empty");
        if (n > CARP_PASSPHRASE_BYTES_MAX) {
                explicit_bzero(text, n);
                log_error("--pass: the passphrase has %zu bytes; allowed are 1 to %i", n, CARP_PASSPHRASE_BYTES_MAX);
                return UCARP_OUTCOME_CANNOT_START;
        }
        explicit_bzero(carp->key, sizeof(carp->key));
        memcpy(carp->key, text, n);
        carp->n_key_bytes = n;
        explicit_bzero(text, n);
        return UCARP_OUTCOME_RUN;
}

static UcarpOutcome parse_passphrase_file(const char *path, CarpConfig *carp) {
        struct stat st;
        if (*path == '\0')
                return wrong_option("--passfile: the name of the file is empty");
        if (stat(path, &st) >= 0 && (st.st_mode & S_IROTH))
                log_warning("--passfile: everybody can read \"%s\"; better: chmod 600", path);

        uint8_t key[CARP_KEY_BYTES_MAX] = { 0 };
        size_t n = 0;
        g_autofree char *sentence = NULL;
        if (config_read_passphrase_file(path, false, key, &n, &sentence) < 0)
                return wrong_option("--passfile: %s", sentence ?: path);
        memcpy(carp->key, key, sizeof(key));
        carp->n_key_bytes = n;
        explicit_bzero(key, sizeof(key));
        return UCARP_OUTCOME_RUN;
}

static UcarpOutcome parse_interface(const char *text, InstanceConfig *config) {
        if (text[0] == '\0' || strlen(text) >= sizeof(config->interface)) {
                log_error("--interface: \"%s\" is not the name of an interface; allowed are 1 to %i bytes", text,
                          (int) sizeof(config->interface) - 1);
                return UCARP_OUTCOME_CANNOT_START;
        }
        (void) g_strlcpy(config->interface, text, sizeof(config->interface));
        return UCARP_OUTCOME_RUN;
}

/* Made absolute here, since the working directory changes with --daemonize. An empty name is no script, as with ucarp. */
static void parse_script(const char *option, const char *text, char **ret) {
        g_free(*ret);
        *ret = text[0] == '\0' ? NULL : g_canonicalize_filename(text, NULL);
        if (*ret && access(*ret, X_OK) < 0)
                log_full(LOG_WARNING, errno, "--%s: \"%s\" cannot be executed now: %m", option, *ret);
}

static void parse_facility(const char *text, UcarpOptions *o) {
        o->syslog = strcmp(text, "none") != 0;
        if (!o->syslog)
                return;
        for (size_t i = 0; i < G_N_ELEMENTS(facilities); i++)
                if (g_ascii_strcasecmp(text, facilities[i].name) == 0) {
                        o->facility = facilities[i].facility;
                        return;
                }
        log_warning("--facility: \"%s\" is not a syslog facility; using daemon", text);
        o->facility = LOG_DAEMON;
}

static UcarpOutcome parse_option(int letter, char *value, UcarpOptions *o) {
        InstanceConfig *c = o->config;

        switch (letter) {
        case 'i':
                return parse_interface(value, c);
        case 's':
                return parse_host_address("srcip", value, &c->carp.source_ipv4);
        case 'm':
                return parse_group(value, &c->carp.group_ipv4);
        case 'v':
                return parse_vhid(value, &c->carp.vhid);
        case 'p':
                return parse_passphrase(value, &c->carp);
        case 'o':
                return parse_passphrase_file(value, &c->carp);
        case 'a':
                return parse_host_address("addr", value, &c->addresses[0].address);
        case 'b':
                c->carp.advbase = parse_modulo_256("advbase", value);
                break;
        case 'k':
                c->carp.advskew = parse_modulo_256("advskew", value);
                break;
        case 'r':
                return parse_dead_ratio(value, &c->carp.dead_ratio);
        case 'P':
                c->carp.preempt = true;
                break;
        case 'M':
                c->carp.multicast = false;
                break;
        case 'S':
                c->ignore_carrier = true;
                break;
        case 'u':
                parse_script("upscript", value, &c->takeover.up_script);
                break;
        case 'd':
                parse_script("downscript", value, &c->takeover.down_script);
                break;
        case 'x':
                g_free(c->takeover.script_parameter);
                c->takeover.script_parameter = g_strdup(value);
                break;
        case 'n':
                c->takeover.neutral = true;
                break;
        case 'z':
                o->run_down_script = true;
                break;
        case 'B':
                o->daemonize = true;
                break;
        case 'D':
                o->debug = true;
                break;
        case 'f':
                parse_facility(value, o);
                break;
        case 'h':
                return UCARP_OUTCOME_HELP;
        default: /* getopt_long() has told what is wrong */
                log_error("Try \"vipd-ucarp --help\"");
                return UCARP_OUTCOME_WRONG_OPTION;
        }
        return UCARP_OUTCOME_RUN;
}

static UcarpOutcome check_complete(const InstanceConfig *c) {
        if (c->carp.vhid == 0)
                return wrong_option("--vhid is missing");
        if (c->carp.n_key_bytes == 0)
                return wrong_option("--pass or --passfile is missing");
        if (c->addresses[0].address.family == AF_UNSPEC)
                return wrong_option("--addr is missing");
        if (c->carp.source_ipv4.family == AF_UNSPEC)
                return wrong_option("--srcip is missing");
        if (c->carp.advbase == 0 && c->carp.advskew == 0)
                return wrong_option("--advbase and --advskew are both 0: that is no interval");
        if (c->carp.advbase == UINT8_MAX && c->carp.advskew == UINT8_MAX)
                return wrong_option("--advbase and --advskew are both 255: other hosts would read that as a farewell");
        return UCARP_OUTCOME_RUN;
}

/**
 * ucarp_options_parse() - read and judge the command line
 * @argv: the passphrase in it is wiped, operands are moved to its end
 * @ret: written only with UCARP_OUTCOME_RUN; cleared by ucarp_options_clear()
 *
 * Logs why, if the outcome is an error, and warns of values that are hardly meant.
 */
UcarpOutcome ucarp_options_parse(int argc, char **argv, UcarpOptions *ret) {
        g_autoptr(InstanceConfig) config = instance_config_new_default("ucarp");
        UcarpOptions o = { .config = config, .syslog = true, .facility = LOG_DAEMON };
        assert(config->n_addresses == 0);
        config->addresses = g_new0(IpPrefix, 1);
        config->addresses[0].prefix_length = 32;
        config->n_addresses = 1;

        int letter;
        optind = 0; /* glibc: start anew */
        while ((letter = getopt_long(argc, argv, "i:s:m:v:p:o:Pna:hb:k:u:d:r:DzBSMf:x:", long_options, NULL)) >= 0) {
                UcarpOutcome outcome = parse_option(letter, optarg, &o);
                if (outcome != UCARP_OUTCOME_RUN)
                        return outcome;
        }
        if (optind < argc) /* not told which: it may be the rest of a passphrase with a space */
                log_warning("Ignoring %i words that belong to no option; are quotes missing?", argc - optind);

        UcarpOutcome outcome = check_complete(config);
        if (outcome != UCARP_OUTCOME_RUN)
                return outcome;
        *ret = o;
        ret->config = g_steal_pointer(&config);
        return UCARP_OUTCOME_RUN;
}

/**
 * ucarp_options_clear() - free what is left in it
 */
void ucarp_options_clear(UcarpOptions *o) {
        o->config = instance_config_free(o->config);
}
