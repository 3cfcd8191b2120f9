/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "proto/ip-frame.h"

/* Any bytes as a received Ethernet frame: nothing is read outside of them, and what is believed says exactly what carp_encode() would have
 * sent. Knows the parser's contract, and nothing of its inside. */

#define CHECKSUM_OFFSET 6

static void require(bool truth) {
        if (!truth)
                abort();
}

/* In ones' complement 0 has two forms, and a sender may use the one that carp_encode() does not. */
static void require_same_payload(const uint8_t *heard, const uint8_t *encoded) {
        static const uint8_t zero[2], other_zero[2] = { 0xff, 0xff };

        require(memcmp(heard, encoded, CHECKSUM_OFFSET) == 0);
        require(memcmp(heard + CHECKSUM_OFFSET + 2, encoded + CHECKSUM_OFFSET + 2, CARP_PAYLOAD_BYTES - CHECKSUM_OFFSET - 2) == 0);
        if (memcmp(heard + CHECKSUM_OFFSET, encoded + CHECKSUM_OFFSET, 2) != 0)
                require(memcmp(heard + CHECKSUM_OFFSET, other_zero, 2) == 0 && memcmp(encoded + CHECKSUM_OFFSET, zero, 2) == 0);
}

static void require_round_trip(const IpFrame *frame, const CarpAdvert *advert, const uint8_t payload[CARP_PAYLOAD_BYTES]) {
        uint8_t built[IP_FRAME_BYTES_MAX];
        CarpAdvert advert_again;
        IpFrame frame_again;
        size_t n = ip_frame_build(frame, payload, built);

        require(n <= sizeof(built));
        require(ip_frame_parse(built, n, &frame_again, &advert_again) == CARP_VERDICT_OK);
        require(ip_address_equal(&frame->source, &frame_again.source));
        require(ip_address_equal(&frame->destination, &frame_again.destination));
        require(memcmp(frame->source_mac, frame_again.source_mac, MAC_BYTES) == 0);
        require(memcmp(frame->destination_mac, frame_again.destination_mac, MAC_BYTES) == 0);
        require(advert->counter == advert_again.counter && advert->vhid == advert_again.vhid);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
        uint8_t payload[CARP_PAYLOAD_BYTES];
        CarpAdvert advert;
        IpFrame frame;
        CarpVerdict verdict = ip_frame_parse(data, n_bytes, &frame, &advert);
        size_t header;

        require(verdict < N_CARP_VERDICTS && *carp_verdict_to_string(verdict));
        require(frame.source.family == AF_UNSPEC || frame.source.family == AF_INET || frame.source.family == AF_INET6);
        require(frame.source.family == frame.destination.family);
        if (verdict != CARP_VERDICT_OK)
                return 0;
        require(frame.source.family != AF_UNSPEC);
        header = frame.source.family == AF_INET ? (size_t) (data[ETHERNET_HEADER_BYTES] & 0x0f) * 4 : 40;
        require(ETHERNET_HEADER_BYTES + header + CARP_PAYLOAD_BYTES <= n_bytes);
        carp_encode(&advert, payload);
        require_same_payload(data + ETHERNET_HEADER_BYTES + header, payload);
        require_round_trip(&frame, &advert, payload);
        return 0;
}
