/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "diagnosis.h"
#include "fuzz.h"
#include "proto/vrrp.h"

/* Any bytes as a frame that does not fit to us: a look at it reads nothing outside of them, and what is said of it is a sentence. */

static void require(bool truth) {
        if (!truth)
                abort();
}

static InstanceConfig *make_config(void) {
        static const char *const addresses[] = { "192.0.2.10", "192.0.2.11", "2001:db8::10", "fe80::10" };
        InstanceConfig *c = instance_config_new_default("web");

        c->addresses = g_new0(IpPrefix, G_N_ELEMENTS(addresses));
        for (size_t k = 0; k < G_N_ELEMENTS(addresses); k++)
                require(ip_prefix_parse(addresses[k], &c->addresses[c->n_addresses++]) == 0);
        c->carp.vhid = 21;
        c->carp.advbase = 1;
        c->carp.n_key_bytes = 8;
        memcpy(c->carp.key, "twoaddrs", 8);
        return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        static InstanceConfig *config;
        DiagnosisSelf self;
        CarpAdvert advert;
        CarpVerdict verdict;
        IpFrame frame;
        IpGlimpse g;
        Diagnosis d;

        if (!config)
                config = make_config();
        self = (DiagnosisSelf) { .config = config };
        require(ip_address_parse("192.0.2.1", &self.ipv4) == 0);
        if (ip_frame_peek(data, n_bytes, &g)) {
                require(g.n_present <= g.n_payload && g.payload >= data && g.payload + g.n_present <= data + n_bytes);
                require(g.source.family == AF_INET || g.source.family == AF_INET6);
                require(vrrp_recognise(&g) <= 3);
        }
        verdict = ip_frame_parse(data, n_bytes, &frame, &advert);
        if (verdict == CARP_VERDICT_OK && diagnosis_of_believed(&self, &frame, &advert, &d))
                require(strlen(d.text) > 20);
        /* whoever parses it finds it whole; whether its digest is right only the receiver can tell */
        if (diagnosis_of_refused(&self, data, n_bytes, verdict == CARP_VERDICT_OK ? CARP_VERDICT_HMAC : verdict, &d)) {
                require(d.cause < N_DIAGNOSIS_CAUSES && *diagnosis_cause_to_string(d.cause));
                require(strlen(d.text) > 20 && strlen(d.mac) == 17);
        }
        return 0;
}
