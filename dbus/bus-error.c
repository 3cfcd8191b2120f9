/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-error.h"

#include "names.h"

/* Names and sentences for what callers on the bus are refused. Knows no message and no connection. */

int bus_error_no_such_instance(sd_bus_error *error, const char *name) {
        return sd_bus_error_setf(error, VIPD_ERROR_NO_SUCH_INSTANCE, "There is no instance \"%s\"", name);
}

/**
 * bus_error_from_verb() - why an instance did not do what it was told
 */
int bus_error_from_verb(sd_bus_error *error, InstanceVerbResult result, const char *name) {
        switch (result) {
        case INSTANCE_VERB_OK:
                return 0;
        case INSTANCE_VERB_NOT_MASTER:
                return sd_bus_error_setf(error, VIPD_ERROR_NOT_MASTER, "%s is not master", name);
        case INSTANCE_VERB_NOT_ENABLED:
                return sd_bus_error_setf(error, VIPD_ERROR_NOT_ENABLED, "%s is disabled", name);
        case INSTANCE_VERB_BUSY:
                return sd_bus_error_setf(error, VIPD_ERROR_BUSY, "%s cannot be master now, see its Reason", name);
        }
        return 0;
}

int bus_error_access_denied(sd_bus_error *error, const char *sentence) {
        return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, sentence);
}
