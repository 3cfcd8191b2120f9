/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config-load.h"
#include "default-interface.h"
#include "init.h"
#include "settings.h"

/* vipd-container, what the image starts: turns arguments and variables into a .vip file and a passphrase file, gives root away, and runs vipd on
 * them. There is no shell, and nothing of this process is left but the init that a container needs. */

#define RUNTIME_DIR "/run/vipd"
#define STATE_DIR "/var/lib/vipd"
#define FALLBACK_STATE_DIR RUNTIME_DIR "/state"
#define VIP_FILE RUNTIME_DIR "/" SETTINGS_INSTANCE ".vip"
#define KEY_FILE RUNTIME_DIR "/" SETTINGS_INSTANCE ".key"
#define BUS_SOCKET "/run/dbus/system_bus_socket"
#define USER "vipd"

#define KEPT ((UINT32_C(1) << CAP_NET_ADMIN) | (UINT32_C(1) << CAP_NET_RAW))
#define NEEDED_TO_LEAVE_ROOT ((UINT32_C(1) << CAP_SETUID) | (UINT32_C(1) << CAP_SETGID))

enum { EXIT_USAGE = 2 };

static G_GNUC_PRINTF(1, 2) void say(const char *format, ...) {
        va_list args;

        va_start(args, format);
        (void) fputs("vipd-container: ", stderr);
        (void) vfprintf(stderr, format, args);
        (void) fputc('\n', stderr);
        va_end(args);
}

static int get_capabilities(struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

        return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

/* Root becomes the image's user where it may; everybody else stays. The capabilities are ambient, so that they outlast the exec. What is not there
 * cannot be kept; vipd tells. */
static int leave_root(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
        const struct passwd *user = geteuid() == 0 ? getpwnam(USER) : NULL;

        if (!user || get_capabilities(data) < 0 || (data[0].effective & NEEDED_TO_LEAVE_ROOT) != NEEDED_TO_LEAVE_ROOT)
                return 0;
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
            setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 || setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
                return -errno;
        data[0].permitted &= KEPT;
        data[0].effective = data[0].inheritable = data[0].permitted;
        data[1] = (struct __user_cap_data_struct) { 0 };
        if (syscall(SYS_capset, &header, data) < 0)
                return -errno;
        for (unsigned long c = 0; c < 32; c++)
                if ((data[0].permitted & (UINT32_C(1) << c)) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0) < 0)
                        return -errno;
        return 0;
}

/* A directory of our own. One that is left from an earlier start of the same container is as good. */
static int make_directory(const char *path) {
        struct stat st;

        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return -errno;
        if (lstat(path, &st) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode))
                return -ENOTDIR;
        if (st.st_uid != geteuid() || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
                return -EACCES;
        return 0;
}

static int write_file(const char *path, const void *bytes, size_t n) {
        int fd, r = 0;

        if (unlink(path) < 0 && errno != ENOENT)
                return -errno;
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        if (write(fd, bytes, n) != (ssize_t) n)
                r = errno > 0 ? -errno : -EIO;
        (void) close(fd);
        return r;
}

static int write_configuration(const Settings *s, const char *interface) {
        g_autofree char *text = settings_format(s, interface, KEY_FILE);
        const char *path = RUNTIME_DIR;
        int r = make_directory(path);

        if (r >= 0)
                r = write_file(path = KEY_FILE, s->key, s->n_key_bytes);
        if (r >= 0)
                r = write_file(path = VIP_FILE, text, strlen(text));
        if (r < 0)
                say("%s: %s; for a container with a read-only root give --tmpfs /run", path, g_strerror(-r));
        return r;
}

/* A volume, or the image's own directory; or, where neither can be written to, one that lasts as long as the container. NULL after a line that says why. */
static const char *find_state_directory(void) {
        struct statvfs fs;
        struct stat st;
        int r;

        if (stat(STATE_DIR, &st) == 0 && st.st_uid == geteuid() && statvfs(STATE_DIR, &fs) == 0 &&
            !(fs.f_flag & ST_RDONLY))
                return STATE_DIR;
        r = make_directory(FALLBACK_STATE_DIR);
        if (r < 0)
                say("%s: %s", FALLBACK_STATE_DIR, g_strerror(-r));
        return r < 0 ? NULL : FALLBACK_STATE_DIR;
}

/* What was written here, and what somebody mounted at /etc/vipd beside it: vipd would go on without what is broken. */
static bool check_configuration(void) {
        const char *const directories[] = { "/etc/vipd", RUNTIME_DIR, NULL };
        g_autoptr(ConfigSet) set = config_load(directories, NULL);

        for (guint k = 0; k < set->diagnostics->len; k++) {
                g_autofree char *text = config_diagnostic_format(g_ptr_array_index(set->diagnostics, k));

                say("%s", text);
        }
        return config_set_n_errors(set) == 0;
}

static int prepare(Settings *s, const char **ret_state) {
        char interface[IF_NAMESIZE];
        int r;

        (void) g_strlcpy(interface, s->interface, sizeof(interface));
        if (*interface == '\0' && !default_interface_find(&s->addresses[0].address, interface)) {
                say("DEV: no interface has a subnet with VIP in it, nor is there a default route; name one, such as DEV=eth0. It takes "
                         "--network=host to see the host's");
                return EXIT_USAGE;
        }
        r = leave_root();
        if (r < 0) {
                say("Cannot become user \"%s\": %s", USER, g_strerror(-r));
                return EXIT_FAILURE;
        }
        if (write_configuration(s, interface) < 0)
                return EXIT_FAILURE;
        *ret_state = find_state_directory();
        if (!*ret_state)
                return EXIT_FAILURE;
        if (!check_configuration())
                return EXIT_USAGE;
        say("VHID %u on %s", s->vhid, interface);
        return EXIT_SUCCESS;
}

static int run(const char *state_directory) {
        g_autofree char *state = g_strdup_printf("--state-dir=%s", state_directory);
        const char *bus = access(BUS_SOCKET, F_OK) == 0 ? "--bus=system" : "--bus=none";
        char *argv[] = { (char *) "vipd", (char *) "--runtime-dir=" RUNTIME_DIR, state, (char *) bus, NULL };
        int r;

        if (getpid() == 1)
                r = init_run(VIPD_PATH, argv);
        else {
                (void) execv(VIPD_PATH, argv);
                r = -errno;
        }
        if (r < 0)
                say("%s: %s", VIPD_PATH, g_strerror(-r));
        return r < 0 ? EXIT_FAILURE : r;
}

int main(int argc, char **argv) {
        g_auto(Settings) settings = { 0 };
        g_autofree char *sentence = NULL;
        const char *state = NULL;
        int status;

        /* no core file, and no debugger of the same user, shall see the passphrase; nor shall the list of processes */
        (void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        (void) umask(0077);
        status = settings_read(argc, argv, environ, &settings, &sentence) < 0 ? EXIT_USAGE : EXIT_SUCCESS;
        for (int k = 2; k < argc; k++)
                explicit_bzero(argv[k], strlen(argv[k]));
        if (status != EXIT_SUCCESS)
                say("%s", sentence);
        else
                status = prepare(&settings, &state);
        if (status != EXIT_SUCCESS)
                return status;
        settings_clear(&settings);
        return run(state);
}
