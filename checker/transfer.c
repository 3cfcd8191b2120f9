/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drives libcurl's multi interface by sd-event: it names the sockets and the time, we call it when they are ready. Names are looked up by threads
 * of libcurl's. Sets what is true of every connection that a probe makes: a new one each time, straight to where the URL says, within the time.
 * Knows nothing of what is transferred. */
#include "checker/transfer.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>

#include "util/event-priority.h"
#include "util/time-util.h"

struct Transfers {
        sd_event *event;
        CURLM *multi;
        sd_event_source *timer;
};

struct Transfer {
        Transfers *transfers; /* borrowed */
        CURL *easy;
        bool running;
        uint64_t timeout_usec;
        TransferEnded ended;
        void *userdata;
        char error[CURL_ERROR_SIZE];
};

/* The callbacks may free the transfer that they are told of, and others. */
static void transfers_tell_ended(Transfers *t) {
        CURLMsg *message;
        int n_left;
        while ((message = curl_multi_info_read(t->multi, &n_left))) {
                if (message->msg != CURLMSG_DONE)
                        continue;
                CURLcode code = message->data.result; /* the message is gone with its handle */
                char *private = NULL;
                (void) curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
                Transfer *x = (Transfer *) (void *) private;
                x->ended(code, x->userdata);
        }
}

static void transfers_act(Transfers *t, curl_socket_t fd, int mask) {
        int n_running;
        CURLMcode code = curl_multi_socket_action(t->multi, fd, mask, &n_running);
        if (code == CURLM_OK)
                transfers_tell_ended(t);
        else /* out of memory, or a bug */
                (void) sd_event_exit(t->event, -EIO);
}

static int on_socket_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int mask = (revents & EPOLLIN ? CURL_CSELECT_IN : 0) | (revents & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (revents & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        transfers_act(userdata, fd, mask);
        return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        transfers_act(userdata, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

static uint32_t epoll_events(int what) {
        switch (what) {
        case CURL_POLL_IN:
                return EPOLLIN;
        case CURL_POLL_OUT:
                return EPOLLOUT;
        case CURL_POLL_INOUT:
                return EPOLLIN | EPOLLOUT;
        default:
                return 0;
        }
}

/* libcurl wants a socket watched, or no longer. Return: 0, or -1, which libcurl takes for its own failure. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socket_userdata) {
        Transfers *t = userdata;
        sd_event_source *io = socket_userdata;

        if (what == CURL_POLL_REMOVE) {
                sd_event_source_disable_unref(io);
                (void) curl_multi_assign(t->multi, fd, NULL);
                return 0;
        }
        if (io)
                return sd_event_source_set_io_events(io, epoll_events(what)) < 0 ? -1 : 0;
        if (sd_event_add_io(t->event, &io, fd, epoll_events(what), on_socket_ready, t) < 0)
                return -1;
        (void) sd_event_source_set_description(io, "transfer");
        if (sd_event_source_set_priority(io, EVENT_PRIORITY_RECEIVE) < 0 || curl_multi_assign(t->multi, fd, io) != CURLM_OK) {
                sd_event_source_disable_unref(io);
                return -1;
        }
        return 0;
}

/* libcurl wants to be called at a time; not before this returns. */
static int on_curl_timer(CURLM *multi, long timeout_msec, void *userdata) {
        Transfers *t = userdata;
        if (timeout_msec < 0)
                return sd_event_source_set_enabled(t->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
        if (sd_event_source_set_time_relative(t->timer, (uint64_t) timeout_msec * USEC_PER_MSEC) < 0 ||
            sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT) < 0)
                return -1;
        return 0;
}

static int open_multi(Transfers *t) {
        t->multi = curl_multi_init();
        if (!t->multi || curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket) != CURLM_OK ||
            curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t) != CURLM_OK ||
            curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer) != CURLM_OK ||
            curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t) != CURLM_OK)
                return -ENOMEM;
        return 0;
}

/**
 * transfers_new() - no transfer yet
 * @ret: freed by transfers_free()
 * @event: referenced
 *
 * curl_global_init() must have been called.
 */
int transfers_new(Transfers **ret, sd_event *event) {
        g_autoptr(Transfers) t = g_new0(Transfers, 1);
        t->event = sd_event_ref(event);
        int r = sd_event_add_time(event, &t->timer, CLOCK_BOOTTIME, 0, EVENT_ACCURACY_USEC, on_time, t);
        if (r >= 0)
                r = sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(t->timer, EVENT_PRIORITY_TIMER);
        if (r >= 0)
                r = open_multi(t);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(t->timer, "transfers");
        *ret = g_steal_pointer(&t);
        return 0;
}

Transfers *transfers_free(Transfers *t) {
        if (!t)
                return NULL;
        if (t->multi)
                (void) curl_multi_cleanup(t->multi);
        sd_event_source_disable_unref(t->timer);
        sd_event_unref(t->event);
        g_free(t);
        return NULL;
}

static int set_common_options(Transfer *x, const char *url) {
        long timeout_msec = (long) ((x->timeout_usec + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
        CURLcode code = CURLE_OK;
#define SET(option, value) (code = code != CURLE_OK ? code : curl_easy_setopt(x->easy, (option), (value)))
        SET(CURLOPT_URL, url);
        SET(CURLOPT_PRIVATE, x);
        SET(CURLOPT_ERRORBUFFER, x->error);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_TIMEOUT_MS, timeout_msec);
        SET(CURLOPT_CONNECTTIMEOUT_MS, timeout_msec);
        /* A name that is still being looked up when the time is up is left to its thread; otherwise libcurl waits for that. */
        SET(CURLOPT_QUICK_EXIT, 1L);
        /* It is today's server that is to be probed, and all of it. */
        SET(CURLOPT_FRESH_CONNECT, 1L);
        SET(CURLOPT_FORBID_REUSE, 1L);
        SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L);
        SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
        (void) curl_easy_setopt(x->easy, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* unknown where TLS is not OpenSSL's: then nothing is kept anyway */
        /* No proxy, whatever the environment says; files, mail and the rest of what libcurl can do are none of ours. */
        SET(CURLOPT_PROXY, "");
        SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
        SET(CURLOPT_PROTOCOLS_STR, "http,https"); /* also for what a redirect leads to */
#undef SET
        return code == CURLE_OK ? 0 : code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

/**
 * transfer_new() - prepares a connection
 * @ret: freed by transfer_free()
 * @url: copied
 * @ended: called from the loop, once, if it is started and not freed before; may free it
 */
int transfer_new(Transfers *t, Transfer **ret, const char *url, uint64_t timeout_usec, TransferEnded ended, void *userdata) {
        Transfer *x = g_new0(Transfer, 1);
        x->transfers = t;
        x->timeout_usec = timeout_usec;
        x->ended = ended;
        x->userdata = userdata;
        x->easy = curl_easy_init();
        int r = x->easy ? set_common_options(x, url) : -ENOMEM;
        if (r < 0) {
                (void) transfer_free(x);
                return r;
        }
        *ret = x;
        return 0;
}

CURL *transfer_handle(Transfer *x) {
        return x->easy;
}

int transfer_start(Transfer *x) {
        x->running = curl_multi_add_handle(x->transfers->multi, x->easy) == CURLM_OK;
        return x->running ? 0 : -ENOMEM;
}

Transfer *transfer_free(Transfer *x) {
        if (!x)
                return NULL;
        if (x->running)
                (void) curl_multi_remove_handle(x->transfers->multi, x->easy);
        curl_easy_cleanup(x->easy);
        g_free(x);
        return NULL;
}

/**
 * transfer_explain() - a failure in words
 * @code: not CURLE_OK
 */
void transfer_explain(const Transfer *x, CURLcode code, Line *line) {
        long error = 0;
        Line time;
        switch (code) {
        case CURLE_OPERATION_TIMEDOUT:
                line_duration(&time, x->timeout_usec);
                line_format(line, "no answer within %s", time.text);
                return;
        case CURLE_COULDNT_CONNECT:
                (void) curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &error);
                if (error > 0) {
                        line_error(line, (int) error);
                        return;
                }
                break;
        default:
                break;
        }
        line_format(line, "%s", x->error[0] ? x->error : curl_easy_strerror(code));
}
