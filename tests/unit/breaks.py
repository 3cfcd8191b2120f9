#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shows that the unit tests can fail, as tests/sim/breaks.py does for the simulator: breaks bytes, counters and what an instance does for units and
statistics, which no simulated host looks at, in one place at a time, and expects the named test to notice.

Each entry is (test, file, exact text, replacement, what is wrong then). Only the changed file is compiled again; the unbroken code must pass.
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

TREE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
sys.path.insert(0, os.path.join(TREE, 'tests/sim'))
sys.dont_write_bytecode = True

from breaks import Builder, broken_source, run  # noqa: E402

CARP = 'daemon/proto/carp.c'
HMAC = 'daemon/proto/carp-hmac.c'
FRAME = 'daemon/proto/ip-frame.c'
ADDRESS = 'daemon/proto/ip-address.c'
ARP = 'daemon/proto/arp-frame.c'
ND = 'daemon/proto/nd-frame.c'
VRRP = 'daemon/proto/vrrp.c'
REPLAY = 'daemon/core/replay.c'
INSTANCE = 'daemon/instance.c'
ELECTION = 'daemon/core/election.c'

BREAKS = [
    ('carp', CARP, 'if (n_bytes != CARP_PAYLOAD_BYTES)', 'if (n_bytes < CARP_PAYLOAD_BYTES)', 'a VRRPv2 packet of 7 addresses is an advert'),
    ('carp', CARP, '>> 4 != CARP_VERSION)', '>> 4 < CARP_VERSION)', 'VRRP version 3 is an advert'),
    ('ip-frame', CARP, ' || payload[OFFSET_AUTHLEN] != CARP_AUTHLEN)', ')', 'authlen is not looked at'),
    ('carp', CARP, 'if (internet_checksum(payload, CARP_PAYLOAD_BYTES) != 0)', 'if (false)', 'the checksum of an advert is not looked at'),
    ('carp', CARP, '>> (56 - 8 * k)', '>> (8 * k)', 'the counter is sent the wrong way round'),
    ('carp', CARP, 'ret_payload[OFFSET_DEMOTION] = advert->demotion;', 'ret_payload[OFFSET_DEMOTION] = 0;', 'byte 4 is not sent'),
    ('carp', HMAC, 'qsort(sorted,', '(void) compare_addresses, (void) sizeof(sorted,', 'the digest depends on the order of addresses'),
    ('carp-hmac', HMAC, 'return with_link_local || ', 'return true || ', 'fe80:: addresses are in the digest, as no OpenBSD has them'),
    ('carp', HMAC, '                        continue;\n                if (is_hashed', '                        ;\n                if (is_hashed',
     'an address that stands twice is hashed twice'),
    ('carp-hmac', HMAC, 'k < CARP_DIGEST_BYTES; k++)', 'k < CARP_DIGEST_BYTES - 1; k++)', 'the last byte of the digest is not compared'),
    ('carp-hmac', HMAC, 'if (source && source->family != AF_UNSPEC)', 'if (false)', "strict mode's digest does not cover the source"),
    ('ip-frame', FRAME, 'if (ip[8] != CARP_TTL)', 'if (ip[8] < CARP_TTL - 1)', 'an advert may have crossed a router'),
    ('ip-frame', FRAME, 'if (ip[7] != CARP_TTL)', 'if (false)', 'an advert over IPv6 may have crossed routers'),
    ('ip-frame', FRAME, '        if (internet_checksum(ip, header) != 0)\n                return CARP_VERDICT_IP_CHECKSUM;', '',
     "the IP header's checksum is not looked at"),
    ('ip-frame', FRAME, "        if (total > n)\n                return CARP_VERDICT_LENGTH;\n", '', 'what is behind the end of a frame is read'),
    ('ip-frame', FRAME, 'header < IPV4_HEADER_BYTES || header > n || total < header)', 'header < IPV4_HEADER_BYTES || header > n)',
     'a total length shorter than the header wraps'),
    ('ip-frame', FRAME, 'if (ip[9] != CARP_PROTOCOL || (get_be16(ip + 6) & IPV4_FRAGMENT_MASK) != 0)\n                return CARP_VERDICT_IP_HEADER;',
     'if (ip[9] != CARP_PROTOCOL)\n                return CARP_VERDICT_IP_HEADER;', 'a fragment is believed'),
    ('ip-frame', FRAME, 'group->bytes[1] & 0x7f', 'group->bytes[1]', 'groups above 239.127 have the wrong MAC'),
    ('ip-address', ADDRESS, 'if (value > maximum)', 'if (false)', 'a prefix of /33 is one'),
    ('ip-address', ADDRESS, 'strspn(text, "0123456789") != strlen(text)', 'false', 'a prefix length may have a sign'),
    ('ip-address', ADDRESS, '(a->bytes[1] & 0xc0) == 0x80', 'a->bytes[1] == 0x80', 'febf:: is not link-local'),
    ('neighbour-frames', ARP, 'operation == OPERATION_REQUEST && memcmp', 'memcmp', "a reply from 0.0.0.0 is a probe for our address"),
    ('announce-frames', ARP, 'memcpy(ret_frame + OFFSET_TARGET, address->bytes, 4);\n}\n\nvoid arp_frame_build_question',
     '}\n\nvoid arp_frame_build_question', 'a gratuitous ARP has no target'),
    ('neighbour-frames', ND, 'length == 0 || length > n', 'length > n', 'an option without length is read for ever'),
    ('neighbour-frames', ND, ' || ip[7] != HOP_LIMIT', '', 'a neighbour may be behind a router'),
    ('announce-frames', ND, 'm[4] = NA_OVERRIDE;', 'm[4] = 0;', 'caches keep the MAC of the old master'),
    ('diagnosis', VRRP, 'payload[0] & 0x0f) != TYPE_ADVERTISEMENT', 'payload[0] & 0x0f) == 0', 'noise with a version of VRRP is VRRP'),
    ('diagnosis', VRRP, '|| checksum_fits(g, g->n_payload) ?', '?', 'newer keepalived is not recognised'),
    ('replay', REPLAY, 'sequence <= peer->highest', 'sequence < peer->highest', 'the last advert of a peer is believed again'),
    ('replay', REPLAY, 'if (counter != replay_bind(sequence, header))', 'if (false)', 'advskew is not bound to the counter'),
    ('replay', REPLAY, 'if (ours->highest < theirs->highest)', 'if (false)', 'a restart forgets what was heard'),
    ('replay', REPLAY, 'if (s->next < earlier->next)', 'if (false)', 'a restart begins again at old numbers'),
    ('replay', REPLAY, 'if (own && (sequence < s->next ||', 'if (own && (false ||', 'strict mode believes an echo of an earlier life'),
    ('replay', REPLAY, 'heard_usec < oldest->heard_usec', 'heard_usec > oldest->heard_usec', 'a full table forgets who was heard last'),
    ('instance', INSTANCE, 'i->units_pending = i->config->takeover.units_before_address;', 'i->units_pending = false;',
     'the address does not wait for its units'),
    ('instance', INSTANCE, 'if (!wait_for_units || (!own_units && !others)) {', 'if (true) {', 'the address goes before its units do'),
    ('instance', INSTANCE, 'i->renew_usec < election_deadline_usec(&i->election) &&', 'true &&', 'a lease is renewed with each advert, however long it is'),
    ('instance', INSTANCE, 'if (++i->n_restored > RESTORES_PER_SEC || hold', 'if (hold', 'two that fight for an address do so for ever'),
    ('instance', INSTANCE, '                i->n_restored = 0;\n', '', 'an address that was often taken away is given up'),
    ('instance', INSTANCE, '                next.send = ELECTION_SEND_NONE;\n', '                (void) next;\n',
     'who could not hold an address bows out a master that he is not'),
    ('instance', INSTANCE, 'if (result && i->config->takeover.demote_on_unit_failure && !i->leaving)', 'if (false)', 'OnUnitFailure=demote is ignored'),
    ('instance', INSTANCE, '                i->statistics.rejected[verdict]++;\n', '', 'a refused advert is not counted'),
    ('instance', INSTANCE, 'carp_hmac_verify_from(i->hmac_link_local, advert->counter, bound, advert->digest)', 'false',
     "FreeBSD's digest over fe80:: addresses is refused"),
    ('instance-checks', INSTANCE, 'if (c && check->failed && c->release)', 'if (false)', 'OnFailure=release is ignored'),
    ('instance-checks', INSTANCE, 'if (c && check->failed && !c->release)', 'if (c && !c->release)', 'a check that passes demotes'),
    ('election', ELECTION, '        if (leaving && disputed && respects_another(e, event))\n                return;\n', '',
     'a farewell calls who has heard its heir'),
    ('election', ELECTION, 'e->next_advert_usec = min(e->next_advert_usec, may_reassert_from_usec(e));', ';',
     'who becomes master just after us stays one until our next turn'),
    ('election', ELECTION, '                e->respected = (ElectionAddress) { 0 };\n', '                ;\n', 'a master that leaves is in a tie with its heir'),
    ('election', ELECTION, '        if (e->state == ELECTION_STATE_BACKUP && e->down_reason == ELECTION_REASON_PREEMPTING)\n',
     '        if (e->grouped && e->state == ELECTION_STATE_BACKUP && e->down_reason == ELECTION_REASON_PREEMPTING)\n',
     'who leaves its group preempts before its health has lasted'),
    ('election', ELECTION, 'add(master_down_usec - min(dead_usec(e), master_down_usec), undemoted_dead_usec(e))', 'e->master_down_usec',
     'a restart counts a demotion twice'),
    ('election', ELECTION, 'is_bow_out(event) ? UINT_MAX : rank(', 'rank(', 'a bow-out is the word of a better master'),
    ('election', ELECTION, 'bool slept = !e->grouped && ', 'bool slept = false && ', 'who is told of its demotion after a sleep does not listen'),
    ('election', ELECTION, '        if (e->master_down_usec <= e->now_usec)\n                listen(e, dead_usec(e));\n        else\n', '',
     'a backup takes a long restart for silence'),
    ('election', ELECTION, 'e->heard_usec = e->master_down_usec - ', 'e->heard_usec = left ? 0 : e->master_down_usec - ', 'a restart forgets how long a master may be silent'),
    ('instance', INSTANCE, 'election_interval_usec(&i->election) / EARLY_RATIO', 'skew_interval_usec(1, election_advskew(&i->election)) / EARLY_RATIO',
     'a promoted host is early by the beat of a demoted one'),
    ('instance', INSTANCE, 'MIN(memory->announce_usec,', 'MAX(UINT64_MAX,', 'a restarted master does not go on announcing'),
]

PROTO = [CARP, HMAC, FRAME, ADDRESS, ARP, ND, VRRP]
CORE = [ELECTION, REPLAY, 'daemon/core/skew.c', 'daemon/core/sync.c']
HOUSE = PROTO + CORE + [INSTANCE, 'daemon/latency.c', 'daemon/peers.c', 'daemon/config.c']
NEEDS = {
    'announce-frames': PROTO,
    'carp': PROTO,
    'carp-hmac': PROTO,
    'diagnosis': HOUSE + ['daemon/diagnosis.c'],
    'election': CORE,
    'instance': HOUSE + ['daemon/handover.c', 'daemon/util/log.c', 'tests/unit/instance-fixture.c'],
    'instance-checks': HOUSE + ['tests/unit/instance-fixture.c'],
    'ip-address': PROTO,
    'ip-frame': PROTO,
    'neighbour-frames': PROTO,
    'replay': CORE,
}
VECTORS = {
    'carp-vectors.h': ['vectors-to-c.py', 'carp-vectors.json', 'carp-vectors-reject.json'],
    'vrrp-vectors.h': ['vrrp-vectors-to-c.py', 'vrrp-vectors.json'],
}


def write_vectors(root, directory):
    for name, (script, *inputs) in VECTORS.items():
        paths = [os.path.join(root, 'tests/vectors', n) for n in (script, *inputs)]
        with open(os.path.join(directory, name), 'wb') as output:
            subprocess.run([sys.executable, '-B', *paths], stdout=output, check=True)


def verdict(result):
    lines = [line for line in result.stdout.splitlines() if 'ERROR' in line or line.startswith('not ok')]
    return (lines or result.stdout.splitlines() or [f'killed by {-result.returncode}'])[0]


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else TREE
    bad = 0
    with tempfile.TemporaryDirectory(prefix='vipd-breaks-') as directory, ThreadPoolExecutor(os.cpu_count()) as pool:
        write_vectors(root, directory)
        builder = Builder(root, directory, ['-O0', '-include', 'stdbool.h', '-I' + directory], ['glib-2.0', 'libsystemd', 'nettle'])
        sources = sorted({s for needs in NEEDS.values() for s in needs}) + [f'tests/unit/test-{name}.c' for name in NEEDS]
        objects = dict(zip(sources, pool.map(lambda n: builder.compile(os.path.join(root, n), n), sources)))

        def attempt(number):
            test, file, text, replacement, sentence = BREAKS[number]
            changed = builder.compile(broken_source(builder, number, file, text, replacement), f'break-{number}')
            parts = [changed if n == file else objects[n] for n in NEEDS[test]] + [objects[f'tests/unit/test-{test}.c']]
            return sentence, run([builder.link(parts, f'test-{number}')], timeout=60)

        def whole(test):
            return run([builder.link([objects[n] for n in NEEDS[test] + [f'tests/unit/test-{test}.c']], f'test-{test}')], timeout=60)

        wholes = [pool.submit(whole, test) for test in NEEDS]
        for sentence, result in pool.map(attempt, range(len(BREAKS))):
            noticed = result.returncode != 0
            bad += not noticed
            print(f'{"noticed" if noticed else "MISSED "}  {sentence}')
            print(f'         {verdict(result)}', flush=True)
        for test, future in zip(NEEDS, wholes):
            if future.result().returncode != 0:
                bad += 1
                print(f'FAILED unbroken: {test}: {verdict(future.result())}')
    print(f'{len(BREAKS)} breaks, {bad} not as expected')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
