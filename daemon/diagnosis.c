/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "diagnosis.h"

#include <string.h>
#include <sys/socket.h>

#include "core/skew.h"
#include "proto/carp-hmac.h"
#include "proto/vrrp.h"

/* From a frame that does not fit to the mistake behind it. A wrong digest does not say why it is wrong, so those that likely mistakes would make are
 * tried with our own key. Knows what hosts of a group must have in common; holds no socket, and decides about no advert. */

static const char *const cause_names[N_DIAGNOSIS_CAUSES] = {
        [DIAGNOSIS_SAME_SOURCE] = "same-source",
        [DIAGNOSIS_PASSPHRASE] = "passphrase",
        [DIAGNOSIS_ADDRESSES] = "addresses",
        [DIAGNOSIS_HASHED_MAC] = "hashed-mac",
        [DIAGNOSIS_REPLAY_PROTECTION] = "replay-protection",
        [DIAGNOSIS_VRRP] = "vrrp",
        [DIAGNOSIS_INTERVALS] = "intervals",
        [DIAGNOSIS_TTL] = "ttl",
};

#define USEC_PER_SEC 1e6
/* What a peer most likely has for DeadRatio=, as all other software has nothing else. */
#define USUAL_DEAD_RATIO 3

const char *diagnosis_cause_to_string(DiagnosisCause cause) {
        return cause_names[cause];
}

static void begin(Diagnosis *d, DiagnosisCause cause, const IpAddress *source, const uint8_t mac[MAC_BYTES]) {
        *d = (Diagnosis) { .cause = cause, .source = *source };
        (void) g_snprintf(d->mac, sizeof(d->mac), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

/* "ADDRESS (MAC) " and what is said of it */
static bool say(Diagnosis *d, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool say(Diagnosis *d, const char *format, ...) {
        char source[IP_ADDRESS_TEXT_BYTES];
        int n = g_snprintf(d->text, sizeof(d->text), "%s (%s) ", ip_address_format(&d->source, source), d->mac);
        va_list ap;

        va_start(ap, format);
        (void) g_vsnprintf(d->text + n, sizeof(d->text) - (gulong) n, format, ap);
        va_end(ap);
        return true;
}

static bool is_own_source(const DiagnosisSelf *self, const IpAddress *source) {
        return ip_address_equal(source, &self->ipv4) || ip_address_equal(source, &self->ipv6);
}

/* From our address, and not by us: what we sent ourselves, long ago or by another configuration, has our MAC. */
static bool find_same_source(const DiagnosisSelf *self, const IpAddress *source, const uint8_t mac[MAC_BYTES], Diagnosis *d) {
        if (!is_own_source(self, source) || memcmp(mac, self->mac, MAC_BYTES) == 0)
                return false;
        begin(d, DIAGNOSIS_SAME_SOURCE, source, mac);
        return say(d, "is another host with our own source address: it was cloned from this one, or SourceAddress= is the same on both");
}

/* The digest that our key makes of these addresses. */
typedef struct Trial {
        const InstanceConfig *config;
        const CarpAdvert *advert;
        const IpAddress *source;
        IpAddress addresses[CONFIG_ADDRESSES_MAX];
        size_t n_addresses;
} Trial;

static bool matches(const Trial *t, bool strict, bool with_link_local, const uint8_t *hash_mac) {
        g_autoptr(CarpHmac) hmac = carp_hmac_new(&(CarpHmacInput) {
                .key = t->config->carp.key,
                .n_key_bytes = t->config->carp.n_key_bytes,
                .vhid = t->config->carp.vhid,
                .addresses = t->addresses,
                .n_addresses = t->n_addresses,
                .with_link_local = with_link_local,
                .hash_mac = hash_mac,
        });

        return carp_hmac_verify_from(hmac, t->advert->counter, strict ? t->source : NULL, t->advert->digest);
}

static bool matches_either_way(const Trial *t) {
        bool strict = t->config->carp.strict_replay;

        return matches(t, strict, false, NULL) || matches(t, strict, true, NULL);
}

static void take(Trial *t, size_t n_addresses) {
        t->n_addresses = n_addresses;
        for (size_t k = 0; k < t->n_addresses; k++)
                t->addresses[k] = t->config->addresses[k].address;
}

static void take_all_but(Trial *t, size_t without) {
        t->n_addresses = 0;
        for (size_t k = 0; k < t->config->n_addresses; k++)
                if (k != without)
                        t->addresses[t->n_addresses++] = t->config->addresses[k].address;
}

static void take_family(Trial *t, int family) {
        t->n_addresses = 0;
        for (size_t k = 0; k < t->config->n_addresses; k++)
                if (t->config->addresses[k].address.family == family)
                        t->addresses[t->n_addresses++] = t->config->addresses[k].address;
}

#define SAME_EVERYWHERE "Address= must be the same on all hosts"

/* Where we sign but the first of ours. */
static bool find_first_address(Trial *t, Diagnosis *d) {
        const InstanceConfig *c = t->config;
        char theirs[IP_ADDRESS_TEXT_BYTES], ours[IP_ADDRESS_TEXT_BYTES];

        take(t, c->n_addresses);
        if (matches_either_way(t))
                return say(d, "has our passphrase, but not DigestAddresses=first, and this host has it; it must be the same on all hosts");
        for (size_t k = 1; k < c->n_addresses; k++) {
                t->addresses[0] = c->addresses[k].address;
                t->n_addresses = 1;
                if (matches_either_way(t))
                        return say(d, "has our passphrase, but speaks for %s and we for %s; the first of Address= must be the same on all hosts",
                                   ip_address_format(&t->addresses[0], theirs), ip_address_format(&c->addresses[0].address, ours));
        }
        return false;
}

/* Lists that a host may have which got only part of ours. */
static bool find_addresses(Trial *t, Diagnosis *d) {
        const InstanceConfig *c = t->config;
        char text[IP_ADDRESS_TEXT_BYTES];

        for (size_t k = 0; c->n_addresses > 1 && k < c->n_addresses; k++) {
                t->addresses[0] = c->addresses[k].address;
                t->n_addresses = 1;
                if (matches_either_way(t))
                        return say(d, "has our passphrase, but speaks for %s alone, while we speak for %zu addresses; " SAME_EVERYWHERE "%s",
                                   ip_address_format(&t->addresses[0], text), c->n_addresses,
                                   k == 0 && t->addresses[0].family == AF_INET ? ", or DigestAddresses=first here too if that is a ucarp" : "");
        }
        for (int k = 0; c->n_addresses > 1 && k < 2; k++) {
                take_family(t, k == 0 ? AF_INET : AF_INET6);
                if (t->n_addresses < c->n_addresses && t->n_addresses > 0 && matches_either_way(t))
                        return say(d, "has our passphrase, but speaks for our %s addresses alone; " SAME_EVERYWHERE, k == 0 ? "IPv4" : "IPv6");
        }
        for (size_t k = 0; c->n_addresses > 2 && k < c->n_addresses; k++) {
                take_all_but(t, k);
                if (matches_either_way(t))
                        return say(d, "has our passphrase, but does not speak for %s; " SAME_EVERYWHERE,
                                   ip_address_format(&c->addresses[k].address, text));
        }
        return false;
}

static bool find_key_mistake(const DiagnosisSelf *self, const IpFrame *f, const CarpAdvert *advert, Diagnosis *d) {
        Trial t = { .config = self->config, .advert = advert, .source = &f->source };
        bool strict = self->config->carp.strict_replay;

        take(&t, instance_config_n_signed(self->config));
        begin(d, DIAGNOSIS_REPLAY_PROTECTION, &f->source, f->source_mac);
        if (matches(&t, !strict, false, NULL) || matches(&t, !strict, true, NULL))
                return say(d, strict ? "has not ReplayProtection=strict, or is not vipd, and this host has it; it must be the same on all hosts"
                                     : "has ReplayProtection=strict, and this host has not; it must be the same on all hosts");
        d->cause = DIAGNOSIS_HASHED_MAC;
        if (matches(&t, strict, false, f->source_mac))
                return say(d, "has our passphrase and addresses, but hashes its MAC address too: a carp interface of OpenBSD whose lladdr was set by "
                              "hand");
        d->cause = DIAGNOSIS_ADDRESSES;
        if (self->config->carp.digest_first ? find_first_address(&t, d) : find_addresses(&t, d))
                return true;
        d->cause = DIAGNOSIS_PASSPHRASE;
        return say(d, "speaks for our VHID %u with another passphrase, or for another list of addresses; or another group on this network has that "
                      "VHID",
                   self->config->carp.vhid);
}

static bool find_vrrp(const DiagnosisSelf *self, const IpGlimpse *g, Diagnosis *d) {
        unsigned version = vrrp_recognise(g);

        if (version == 0)
                return false;
        begin(d, DIAGNOSIS_VRRP, &g->source, g->source_mac);
        return say(d, "speaks VRRP version %u with the virtual router ID %u, which is our VHID, as a router or keepalived does; give one of the two "
                      "another number",
                   version, self->config->carp.vhid);
}

/* Nothing else but the TTL must be wrong, or it is no advert of ours. */
static bool find_ttl(const IpGlimpse *g, Diagnosis *d) {
        CarpAdvert advert;

        if (g->n_present < g->n_payload || carp_decode(g->payload, g->n_payload, &advert) != CARP_VERDICT_OK)
                return false;
        begin(d, DIAGNOSIS_TTL, &g->source, g->source_mac);
        return say(d, "sends adverts with TTL %u instead of 255: a router passed them on, or the sender sets it so", g->ttl);
}

bool diagnosis_of_refused(const DiagnosisSelf *self, const uint8_t *frame, size_t n_bytes, CarpVerdict verdict, Diagnosis *ret) {
        CarpAdvert advert;
        IpGlimpse g;
        IpFrame f;

        switch (verdict) {
        case CARP_VERDICT_HMAC:
        case CARP_VERDICT_REPLAY:
                if (ip_frame_parse(frame, n_bytes, &f, &advert) != CARP_VERDICT_OK)
                        return false;
                if (is_own_source(self, &f.source))
                        return find_same_source(self, &f.source, f.source_mac, ret);
                return verdict == CARP_VERDICT_HMAC && find_key_mistake(self, &f, &advert, ret);
        case CARP_VERDICT_LENGTH:
        case CARP_VERDICT_VERSION:
        case CARP_VERDICT_TYPE:
                return ip_frame_peek(frame, n_bytes, &g) && find_vrrp(self, &g, ret);
        case CARP_VERDICT_TTL:
                return ip_frame_peek(frame, n_bytes, &g) && find_ttl(&g, ret);
        case CARP_VERDICT_OK:
        case CARP_VERDICT_IP_HEADER:
        case CARP_VERDICT_IP_CHECKSUM:
        case CARP_VERDICT_CHECKSUM:
        case CARP_VERDICT_VHID:
        case CARP_VERDICT_LOOP:
                break;
        }
        return false;
}

bool diagnosis_of_believed(const DiagnosisSelf *self, const IpFrame *f, const CarpAdvert *a, Diagnosis *ret) {
        const CarpConfig *c = &self->config->carp;
        uint64_t own_usec = skew_interval_usec(c->advbase, c->advskew), own_dead_usec = skew_dead_usec(c->advbase, c->advskew, c->dead_ratio);
        uint64_t usec = skew_interval_usec(a->advbase, a->advskew);
        uint64_t dead_usec = skew_dead_usec(a->advbase, a->advskew, MAX(c->dead_ratio, USUAL_DEAD_RATIO));

        if (is_own_source(self, &f->source))
                return find_same_source(self, &f->source, f->source_mac, ret);
        /* a farewell, and the claim of one who was promoted, say nothing of what is configured */
        if ((a->advbase == 255 && a->advskew == 255) || (a->advbase == 0 && a->advskew == 0))
                return false;
        begin(ret, DIAGNOSIS_INTERVALS, &f->source, f->source_mac);
        if (usec >= own_dead_usec)
                return say(ret, "advertises every %.1f s, and this host waits %.1f s for an advert, so it takes over whenever that one is master; "
                                "AdvBase= must be the same on all hosts",
                           (double) usec / USEC_PER_SEC, (double) own_dead_usec / USEC_PER_SEC);
        if (own_usec >= dead_usec)
                return say(ret, "waits %.1f s for an advert, and this host advertises every %.1f s, so that one takes over whenever this one is "
                                "master; AdvBase= must be the same on all hosts",
                           (double) dead_usec / USEC_PER_SEC, (double) own_usec / USEC_PER_SEC);
        return false;
}

static DiagnosisSender *obtain_sender(DiagnosisHistory *h, const Diagnosis *d) {
        DiagnosisSender *oldest = &h->senders[0];

        for (size_t k = 0; k < DIAGNOSIS_SENDERS; k++) {
                DiagnosisSender *s = &h->senders[k];

                if (s->cause == d->cause && ip_address_equal(&s->source, &d->source))
                        return s;
                if (s->last_usec < oldest->last_usec)
                        oldest = s;
        }
        *oldest = (DiagnosisSender) { .cause = d->cause, .source = d->source };
        return oldest;
}

bool diagnosis_history_note(DiagnosisHistory *h, const Diagnosis *d, uint64_t now_usec) {
        DiagnosisSender *s = obtain_sender(h, d);

        h->n_found[d->cause]++;
        if (now_usec - s->last_usec > DIAGNOSIS_WINDOW_USEC)
                s->n = 0;
        s->last_usec = now_usec;
        if (++s->n < DIAGNOSIS_CONFIRMED || (s->told && now_usec - s->told_usec < DIAGNOSIS_REPEAT_USEC))
                return false;
        s->told = true;
        s->told_usec = now_usec;
        return true;
}

void diagnosis_history_forget(DiagnosisHistory *h) {
        memset(h->senders, 0, sizeof(h->senders));
}
