/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config-parse.h"
#include "ctl/text.h"
#include "dbus/names.h"

/* The connection to the bus, here, behind ssh, or in a container; and every failure as a sentence for whoever sits at
 * the terminal. Knows the manager's methods; what an instance is, view.c knows. No call starts a vipd that was stopped:
 * who looks changes nothing. */

void client_complain(const char *format, ...) {
        g_autofree char *text = NULL, *clean = NULL;
        va_list arguments;

        va_start(arguments, format);
        text = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        clean = text_clean(text);
        (void) fprintf(stderr, "vipctl: %s\n", clean);
}

bool client_is_local(const Ctl *c) {
        return !c->host && !c->machine;
}

static void explain_no_bus(const Ctl *c, int r) {
        const char *why = g_strerror(-r);

        if (c->host)
                client_complain("The bus of %s cannot be reached over ssh: %s", c->host, why);
        else if (c->machine)
                client_complain("The bus of the container %s cannot be reached: %s", c->machine, why);
        else
                client_complain("There is no system bus to reach vipd by: %s. Elections do not need one: "
                                "\"systemctl status vipd\" and \"journalctl -u vipd\" tell how they go", why);
}

CtlExit client_open(Ctl *c) {
        int r;

        if (c->host)
                r = sd_bus_open_system_remote(&c->bus, c->host);
        else if (c->machine)
                r = sd_bus_open_system_machine(&c->bus, c->machine);
        else
                r = sd_bus_open_system(&c->bus);
        if (r < 0)
                explain_no_bus(c, r);
        return r < 0 ? CTL_FAILED : CTL_DONE;
}

/**
 * client_new_call() - a message to vipd
 * @path: of the object; NULL: the manager
 *
 * Return: 0 or negative errno. *ret is the caller's.
 */
int client_new_call(const Ctl *c, const char *path, const char *interface, const char *method, sd_bus_message **ret) {
        g_autoptr(sd_bus_message) m = NULL;
        int r = sd_bus_message_new_method_call(c->bus, &m, VIPD_BUS_NAME, path ?: VIPD_PATH, interface, method);

        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        if (r >= 0)
                *ret = g_steal_pointer(&m);
        return r;
}

bool client_means_no_daemon(const sd_bus_error *error) {
        return sd_bus_error_has_names(error, SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER);
}

bool client_means_no_answer(const sd_bus_error *error, int r) {
        return sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) || r == -ETIMEDOUT;
}

static bool means_no_bus(int r) {
        return r == -ENOTCONN || r == -ECONNRESET || r == -ECONNREFUSED || r == -EPIPE;
}

static void explain_no_daemon(const Ctl *c) {
        const char *where = c->host ?: c->machine;

        client_complain("vipd does not run%s%s: \"systemctl start vipd\" starts it, \"systemctl status vipd\" tells why it ended",
                        where ? " on " : "", where ?: "");
}

CtlExit client_explain(const Ctl *c, const sd_bus_error *error, int r, const char *subject) {
        static const struct {
                const char *name;
                CtlExit code;
        } refusals[] = {
                { VIPD_ERROR_NOT_MASTER, CTL_NOT_IN_STATE },
                { VIPD_ERROR_NOT_ENABLED, CTL_NOT_IN_STATE },
                { VIPD_ERROR_BUSY, CTL_NOT_IN_STATE },
                { VIPD_ERROR_NO_SUCH_INSTANCE, CTL_NO_SUCH_INSTANCE },
                { SD_BUS_ERROR_UNKNOWN_OBJECT, CTL_NO_SUCH_INSTANCE },
        };
        const char *colon = subject ? ": " : "";

        subject = subject ?: "";
        for (size_t k = 0; k < G_N_ELEMENTS(refusals); k++)
                if (error && sd_bus_error_has_name(error, refusals[k].name)) {
                        client_complain("%s", error->message); /* names the instance */
                        return refusals[k].code;
                }
        if (client_means_no_daemon(error))
                explain_no_daemon(c);
        else if (sd_bus_error_has_name(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED))
                client_complain("%s%sAccess denied: this needs a password, and nobody was asked for one", subject, colon);
        else if (sd_bus_error_has_name(error, SD_BUS_ERROR_ACCESS_DENIED))
                client_complain("%s%sAccess denied: polkit does not let you %s here", subject, colon, c->verb);
        else if (client_means_no_answer(error, r))
                client_complain("%s%svipd does not answer", subject, colon);
        else if (means_no_bus(r))
                explain_no_bus(c, r);
        else if (sd_bus_error_is_set(error))
                client_complain("%s%s%s", subject, colon, error->message);
        else
                client_complain("%s%s%s", subject, colon, g_strerror(-r));
        return CTL_FAILED;
}

CtlExit client_call(const Ctl *c, sd_bus_message *call, uint64_t timeout_usec, const char *subject, sd_bus_message **ret_reply) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        int r = sd_bus_call(c->bus, call, timeout_usec, &error, ret_reply);

        return r < 0 ? client_explain(c, &error, r, subject) : CTL_DONE;
}

/* As near as the configuration reader has it for words that are no key. */
static bool is_near(const char *name, const char *other, unsigned *least) {
        unsigned distance = config_word_distance(name, other);

        if (distance >= *least || distance > MAX(2, strlen(name) / 3) || distance >= strlen(other))
                return false;
        *least = distance;
        return true;
}

void client_suggest(const char *name, const GPtrArray *names) {
        const char *nearest = NULL;
        unsigned least = UINT_MAX;

        for (guint k = 0; k < names->len; k++)
                if (is_near(name, g_ptr_array_index(names, k), &least))
                        nearest = g_ptr_array_index(names, k);
        if (nearest)
                client_complain("There is no instance \"%s\". Did you mean \"%s\"?", name, nearest);
        else
                client_complain("There is no instance \"%s\"; \"vipctl list\" shows those there are", name);
}

CtlExit client_find(const Ctl *c, const char *name, char **ret_path, char **ret_state) {
        g_autoptr(sd_bus_message) call = NULL, reply = NULL;
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        const char *found, *path, *state;
        CtlExit code;
        int r = client_new_call(c, NULL, VIPD_MANAGER_INTERFACE, "ListInstances", &call);

        if (r < 0)
                return client_explain(c, NULL, r, NULL);
        code = client_call(c, call, CLIENT_READ_USEC, NULL, &reply);
        if (code != CTL_DONE)
                return code;
        r = sd_bus_message_enter_container(reply, 'a', "(sos)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(sos)", &found, &path, &state)) > 0) {
                if (!g_str_equal(found, name)) {
                        g_ptr_array_add(names, (char *) found);
                        continue;
                }
                *ret_path = g_strdup(path);
                if (ret_state)
                        *ret_state = g_strdup(state);
                return CTL_DONE;
        }
        if (r < 0)
                return client_explain(c, NULL, r, NULL);
        client_suggest(name, names);
        return CTL_NO_SUCH_INSTANCE;
}
