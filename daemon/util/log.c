/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes log lines without ever waiting for whoever reads them: an election must not stand still because journald
 * does, or because nobody empties the pipe behind stderr. sd_journal_send() and a plain write to stderr both block
 * then, so the journal's native protocol is spoken here over a datagram socket with MSG_DONTWAIT, and stderr is
 * written only when it has room. What does not fit is counted, and the count is told before the next line that
 * passes. Fixed buffers, no allocation. Called from everywhere; knows nothing of what the lines are about. */
#include "util/log.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define SYSLOG_SOCKET "/dev/log"
#define TEXT_BYTES_MAX 2048
#define DATAGRAM_BYTES_MAX 8192 /* far below what the socket takes, so EMSGSIZE cannot happen */

static const char *const level_names[] = {
        "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
};

/* What a person reads before the text; nothing for the everyday levels. */
static const char *const level_words[] = {
        "emergency: ", "alert: ", "critical: ", "error: ", "warning: ", "", "", "debug: ",
};

static struct {
        char identifier[32];
        int facility;
        int max_level;
        int journal_fd, syslog_fd;
        int stderr_fd;      /* -1: no lines to stderr */
        bool own_stderr_fd; /* opened by us, not descriptor 2 itself */
        uint64_t n_dropped, n_untold;
} state = {
        .identifier = "vipd",
        .facility = LOG_DAEMON,
        .max_level = LOG_INFO,
        .journal_fd = -1,
        .syslog_fd = -1,
        .stderr_fd = STDERR_FILENO,
};

typedef struct LogLine {
        int level;
        const char *message_id;
        const LogField *fields;
        int errno_value;
        const char *file;
        int line;
        const char *function;
        const char *text;
} LogLine;

typedef struct Datagram {
        char bytes[DATAGRAM_BYTES_MAX];
        size_t n_bytes;
} Datagram;

/* A value with a newline takes the binary form: name, newline, length as 64 bits little-endian, value, newline. A
 * field that does not fit any more is left out as a whole. */
static void datagram_append(Datagram *d, const char *name, const char *value) {
        size_t n_name = strlen(name), n_value = strlen(value);
        if (n_name + n_value + sizeof(uint64_t) + 2 > sizeof(d->bytes) - d->n_bytes)
                return;

        char *p = mempcpy(d->bytes + d->n_bytes, name, n_name);
        if (memchr(value, '\n', n_value)) {
                uint64_t n_le64 = htole64(n_value);
                *p++ = '\n';
                p = mempcpy(p, &n_le64, sizeof(n_le64));
        } else
                *p++ = '=';
        p = mempcpy(p, value, n_value);
        *p++ = '\n';
        d->n_bytes = (size_t) (p - d->bytes);
}

static void datagram_append_int(Datagram *d, const char *name, int value) {
        char text[16];
        (void) snprintf(text, sizeof(text), "%i", value);
        datagram_append(d, name, text);
}

/* The socket is not connected: so a journald or syslogd that was restarted is found again by its path. */
static int send_to_path(int fd, const char *path, const void *bytes, size_t n_bytes) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        assert(strlen(path) < sizeof(address.sun_path));
        memcpy(address.sun_path, path, strlen(path) + 1);

        ssize_t n = sendto(fd, bytes, n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *) &address,
                           (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1));
        return n < 0 ? -errno : 0;
}

static int write_journal(const LogLine *line) {
        Datagram d;
        d.n_bytes = 0;

        /* In the order of their worth, should they not all fit. */
        datagram_append(&d, "MESSAGE", line->text);
        datagram_append_int(&d, "PRIORITY", line->level);
        datagram_append(&d, "SYSLOG_IDENTIFIER", state.identifier);
        datagram_append_int(&d, "SYSLOG_FACILITY", LOG_FAC(state.facility));
        if (line->message_id)
                datagram_append(&d, "MESSAGE_ID", line->message_id);
        if (line->errno_value > 0)
                datagram_append_int(&d, "ERRNO", line->errno_value);
        for (const LogField *f = line->fields; f && f->name; f++)
                if (f->value)
                        datagram_append(&d, f->name, f->value);
        if (line->file) {
                datagram_append(&d, "CODE_FILE", line->file);
                datagram_append_int(&d, "CODE_LINE", line->line);
        }
        if (line->function)
                datagram_append(&d, "CODE_FUNC", line->function);

        return send_to_path(state.journal_fd, JOURNAL_SOCKET, d.bytes, d.n_bytes);
}

/* Text from outside must not be able to forge a second line, or to talk to the terminal. */
static void replace_control_characters(char *text) {
        for (char *p = text; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        *p = *p == '\t' || *p == '\n' ? ' ' : '?';
}

/* Without a time stamp: every syslog daemon adds the time of arrival, and to print one would mean to read the wall
 * clock and the time zone file. */
static int write_syslog(const LogLine *line) {
        char text[TEXT_BYTES_MAX + 64];
        (void) snprintf(text, sizeof(text), "<%i>%s[%i]: %s", state.facility | line->level, state.identifier,
                        (int) getpid(), line->text);
        replace_control_characters(text);
        return send_to_path(state.syslog_fd, SYSLOG_SOCKET, text, strlen(text));
}

static int write_stderr(const LogLine *line) {
        char text[TEXT_BYTES_MAX + 64]; /* below PIPE_BUF, so that a pipe takes all of it or nothing */
        (void) snprintf(text, sizeof(text) - 1, "%s: %s%s", state.identifier, level_words[line->level], line->text);
        replace_control_characters(text);
        size_t n = strlen(text);
        text[n++] = '\n';

        struct pollfd p = { .fd = state.stderr_fd, .events = POLLOUT };
        if (poll(&p, 1, 0) < 0)
                return -errno;
        if (p.revents & (POLLERR | POLLNVAL)) /* nobody reads any more: do not earn a SIGPIPE */
                return -EPIPE;
        if (!(p.revents & POLLOUT))
                return -EAGAIN;
        return write(state.stderr_fd, text, n) < 0 ? -errno : 0;
}

/* A line is lost only if none of its destinations took it: in a container without a syslog daemon stderr is enough. */
static bool write_line(const LogLine *line) {
        bool taken = false;
        if (state.journal_fd >= 0)
                taken |= write_journal(line) >= 0;
        if (state.syslog_fd >= 0)
                taken |= write_syslog(line) >= 0;
        if (state.stderr_fd >= 0)
                taken |= write_stderr(line) >= 0;
        return taken;
}

static void tell_dropped(void) {
        char text[96];
        (void) snprintf(text, sizeof(text), "%" PRIu64 " log lines were lost, because nobody took them in time",
                        state.n_untold);
        if (write_line(&(LogLine){ .level = LOG_WARNING, .text = text }))
                state.n_untold = 0;
}

static void write_or_count(const LogLine *line) {
        if (state.journal_fd < 0 && state.syslog_fd < 0 && state.stderr_fd < 0)
                return; /* LOG_TARGET_NONE */
        if (state.n_untold > 0)
                tell_dropped();
        if (!write_line(line)) {
                state.n_dropped++;
                state.n_untold++;
        }
}

/**
 * log_write() - write one line; use the log_*() macros where no fields are needed
 * @level: LOG_ERR and so on; a line above the maximum level costs nothing
 * @message_id: 32 hex digits, or NULL
 * @fields: further journal fields, ended by {NULL, NULL}, or NULL; borrowed
 * @errno_value: 0, or a positive errno, which becomes ERRNO= and is what %m prints
 *
 * Never blocks, and leaves errno alone.
 */
void log_write(int level, const char *message_id, const LogField *fields, int errno_value, const char *file, int line,
               const char *function, const char *format, ...) {
        int saved_errno = errno;
        level = LOG_PRI(level);
        if (level > state.max_level)
                return;

        char text[TEXT_BYTES_MAX];
        va_list ap;
        va_start(ap, format);
        errno = errno_value;
        int n = vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        if (n >= (int) sizeof(text))
                memcpy(text + sizeof(text) - 4, "...", 4);

        if (n >= 0)
                write_or_count(&(LogLine){
                        .level = level,
                        .message_id = message_id,
                        .fields = fields,
                        .errno_value = errno_value,
                        .file = file,
                        .line = line,
                        .function = function,
                        .text = text,
                });
        errno = saved_errno;
}

static int level_from_glib(GLogLevelFlags flags) {
        if (flags & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
                return LOG_ERR;
        if (flags & G_LOG_LEVEL_WARNING)
                return LOG_WARNING;
        if (flags & G_LOG_LEVEL_MESSAGE)
                return LOG_NOTICE;
        return flags & G_LOG_LEVEL_INFO ? LOG_INFO : LOG_DEBUG;
}

static GLogWriterOutput on_glib_log(GLogLevelFlags flags, const GLogField *fields, gsize n_fields, gpointer userdata) {
        const GLogField *message = NULL, *domain = NULL;
        for (gsize i = 0; i < n_fields; i++)
                if (strcmp(fields[i].key, "MESSAGE") == 0)
                        message = fields + i;
                else if (strcmp(fields[i].key, "GLIB_DOMAIN") == 0)
                        domain = fields + i;
        if (!message || message->length >= 0) /* lengths other than -1 are binary values, which GLib itself never logs */
                return G_LOG_WRITER_UNHANDLED;

        log_write(level_from_glib(flags), NULL, NULL, 0, NULL, 0, NULL, "%s%s%s",
                  domain && domain->length < 0 ? (const char *) domain->value : "", domain ? ": " : "",
                  (const char *) message->value);
        return G_LOG_WRITER_HANDLED;
}

/* JOURNAL_STREAM names the device and inode of the stream the service manager connected us to. A program whose stderr
 * was redirected since has inherited the variable, but not the stream. */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        if (!stream)
                return false;

        char *end;
        errno = 0;
        uintmax_t device = strtoumax(stream, &end, 10);
        if (errno != 0 || *end != ':')
                return false;
        uintmax_t inode = strtoumax(end + 1, &end, 10);
        if (errno != 0 || *end != '\0')
                return false;

        struct stat st;
        return fstat(STDERR_FILENO, &st) >= 0 && st.st_dev == device && st.st_ino == inode;
}

/* O_NONBLOCK belongs to the open file, which we share with our shell and with every script we start. So a pipe or a
 * terminal is opened once more for us alone; after poll() alone another writer, or a terminal with little room, could
 * still block us. Where that is not allowed (the terminal of another user), poll() is what remains. Files are not
 * opened again, since that would forget O_APPEND and the position. */
static void open_stderr(void) {
        struct stat st;
        state.stderr_fd = STDERR_FILENO;
        if (fstat(STDERR_FILENO, &st) < 0 || (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode)))
                return;
        int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return;
        state.stderr_fd = fd;
        state.own_stderr_fd = true;
}

static int open_datagram_socket(void) {
        return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/**
 * log_open() - choose where lines go from now on
 * @identifier: program name before each line; copied
 * @target: LOG_TARGET_AUTO prefers the journal, LOG_TARGET_SYSLOG also writes to a stderr that is not the journal
 * @facility: LOG_DAEMON and so on
 *
 * Cannot fail: if a socket cannot be had, lines go to stderr. May be called again, e.g. after stderr was redirected.
 * Before the first call lines go to stderr. GLib's own messages come here after the first call.
 */
void log_open(const char *identifier, LogTarget target, int facility) {
        static bool writer_installed = false;
        if (!writer_installed) /* GLib aborts at a second call */
                g_log_set_writer_func(on_glib_log, NULL, NULL);
        writer_installed = true;

        log_close();
        (void) g_strlcpy(state.identifier, identifier, sizeof(state.identifier));
        state.facility = facility;

        switch (target) {
        case LOG_TARGET_AUTO:
                if (stderr_is_journal())
                        state.journal_fd = open_datagram_socket();
                if (state.journal_fd < 0)
                        open_stderr();
                break;
        case LOG_TARGET_STDERR:
                open_stderr();
                break;
        case LOG_TARGET_SYSLOG:
                state.syslog_fd = open_datagram_socket();
                if (state.syslog_fd < 0 || !stderr_is_journal())
                        open_stderr();
                break;
        case LOG_TARGET_NONE:
                break;
        }
}

/**
 * log_close() - give the descriptors back; lines are discarded until the next log_open()
 */
void log_close(void) {
        if (state.journal_fd >= 0)
                (void) close(state.journal_fd);
        if (state.syslog_fd >= 0)
                (void) close(state.syslog_fd);
        if (state.own_stderr_fd)
                (void) close(state.stderr_fd);
        state.journal_fd = state.syslog_fd = state.stderr_fd = -1;
        state.own_stderr_fd = false;
}

/**
 * log_set_max_level() - the least important level that is still written; LOG_INFO at first
 */
void log_set_max_level(int level) {
        state.max_level = LOG_PRI(level);
}

/**
 * log_level_from_string() - "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", or 0..7
 *
 * Return: the level, or -EINVAL.
 */
int log_level_from_string(const char *text) {
        for (int i = 0; i < (int) G_N_ELEMENTS(level_names); i++)
                if (strcmp(text, level_names[i]) == 0)
                        return i;
        if (text[0] >= '0' && text[0] <= '7' && text[1] == '\0')
                return text[0] - '0';
        return -EINVAL;
}

/**
 * log_n_dropped() - how many lines nobody took since the program began
 */
uint64_t log_n_dropped(void) {
        return state.n_dropped;
}
