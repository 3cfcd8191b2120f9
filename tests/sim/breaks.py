#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shows that the simulator can fail: breaks the code under test in one place at a time and expects some schedule to notice.

Each entry is (file, exact text, replacement, what is wrong then). The text must occur exactly once, so that a break cannot silently stop breaking
anything when the code moves on. Only the changed file is compiled again; the unbroken code must pass the same schedules.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

ELECTION = 'daemon/core/election.c'
INSTANCE = 'daemon/instance.c'
SKEW = 'daemon/core/skew.c'
REPLAY = 'daemon/core/replay.c'
SYNC = 'daemon/core/sync.c'
GROUP = 'daemon/sync-group.c'

BREAKS = [
    (ELECTION, 'if (heard < own) {', 'if (false) {', 'a master does not yield to a better one'),
    (ELECTION, 'return own->bytes[k] < peer->bytes[k] ? -1 : 1;', 'return own->bytes[k] < peer->bytes[k] ? 1 : -1;',
     'the higher address wins a tie, other than with ucarp'),
    (ELECTION, 'for (int k = 3; k >= 0; k--)', 'for (int k = 0; k < 4; k++)',
     'ties compare the first octet first, other than ucarp'),
    (ELECTION, 'else if (may_reassert(e)) {', 'else {', 'a tie is given up after some adverts, however many hosts sent them'),
    (ELECTION, '        check_silence(e, ret);\n', '', 'a master that slept does not notice'),
    (ELECTION, 'if (!ret->changed)\n                        step_advert(e, event, ret);', 'step_advert(e, event, ret);',
     'a master that slept may become master again before it let go'),
    (ELECTION, 'bool leaving = is_bow_out(event);', 'bool leaving = false;', 'bow-outs take the long way'),
    (ELECTION, 'if (heard > own) {\n', 'if (heard > own) {\n                become_backup(e, ELECTION_REASON_PREEMPTED, u);\n                return;\n',
     'a master yields to a worse one'),
    (ELECTION, '(e->config.preempt || demoted) && own_rank(e) <', 'own_rank(e) <', 'everybody preempts'),
    (ELECTION, '(e->config.preempt || demoted) && own_rank(e) <', 'false && own_rank(e) <', 'nobody preempts'),
    (ELECTION, ' && e->now_usec >= e->preempt_usec) {', ') {', 'PreemptDelay= is ignored'),
    (ELECTION, 'return e->barred == 0 && e->now_usec >= e->eligible_usec;', 'return e->barred == 0;',
     'a demote hold is ignored when there is somebody to preempt'),
    (ELECTION, '        e->eligible_usec = add(e->now_usec, hold_usec);\n}', '}', 'a demote hold is forgotten'),
    (ELECTION, '        } else if (disputed) {', '        } else if (false) {', 'the last word of a loser is taken for a reign'),
    (ELECTION, '        if (e->now_usec < e->spread_until_usec)\n', '        if (false)\n',
     'who lost a tie returns in step with a BSD that lost it too'),
    (ELECTION, 'if (e->state == ELECTION_STATE_MASTER && !same && ', 'if (false && ', 'a demotion is not told'),
    (ELECTION, 'return skew_effective(e->config.advskew, e->demotion);', 'return e->config.advskew;', 'demotion is ignored'),
    (ELECTION, '(e->config.demotion_byte ? (unsigned) demotion << 16 : 0)', '0u', "OpenBSD's demotion is ignored where it was agreed on"),
    (ELECTION, '        bow_out(u);\n        become_backup(e, reason, u);\n        e->eligible',
     '        become_backup(e, reason, u);\n        e->eligible', 'a demoted master does not bow out'),
    (ELECTION, 'max(e->eligible_usec, add(e->now_usec, delay_usec))', 'e->now_usec', 'the start delay is ignored'),
    (ELECTION, 'add(e->now_usec, interval_usec(e));\n}', 'add(e->now_usec, 2 * interval_usec(e));\n}',
     'adverts come half as often'),
    (SKEW, 'return (uint64_t) dead_ratio * advbase * USEC_PER_SEC + skew_usec(advbase, advskew);',
     'return (uint64_t) (dead_ratio - 1) * advbase * USEC_PER_SEC + skew_usec(advbase, advskew);',
     'the dead interval is too short'),
    (SKEW, 'return (uint64_t) dead_ratio * advbase * USEC_PER_SEC + skew_usec(advbase, advskew);',
     'return (uint64_t) dead_ratio * advbase * USEC_PER_SEC + dead_ratio * skew_usec(advbase, advskew);',
     'the skew counts once per advert in the dead interval'),
    (SKEW, 'return dead_ratio * skew_usec(advbase, advskew);', 'return skew_usec(advbase, advskew);',
     'the ratio multiplies zero when advbase is 0, as with ucarp'),
    (REPLAY, 'return own && is_own(r, counter) ?', 'return false ?', 'its own echo is believed'),
    (INSTANCE, "                i->ops->release(i->ops_userdata);\n                i->n_announce = 0;", '                i->n_announce = 0;',
     'the address is kept when mastership is lost'),
    (INSTANCE, "                i->ops->release(i->ops_userdata);\n                i->n_announce = 0;",
     '                if (u->send != ELECTION_SEND_NONE)\n                        send_advert(i, u, false, now_usec);\n'
     '                i->ops->release(i->ops_userdata);\n                i->n_announce = 0;',
     'the bow-out leaves before the address does'),
    (INSTANCE, 'lost = !i->units_pending && !i->prepared && hold(i, now_usec) < 0;', 'lost = false;', 'a new master does not hold the address'),
    (INSTANCE, '        return i->ops->renew(i->ops_userdata, i->election.next_advert_usec);\n', '        return 0;\n', 'the lease is not renewed'),
    (INSTANCE, '        if (u->contested)\n                announce_again(i, now_usec);\n', '', 'who yields has announced last'),
    (INSTANCE, 'now_usec + lease_usec - RENEW_MARGIN_USEC', 'now_usec + lease_usec / 2',
     'the lease of a frozen master outlives the patience of the others'),
    (ELECTION, '        e->promoted_until_usec = memory->promoted_until_usec;\n', '', 'a restart forgets that we were promoted'),
    (ELECTION, '        e->attempted_usec = memory->attempted_usec;\n', '', 'a restarted master takes itself for stalled'),
    (ELECTION, 'add(e->now_usec, min(once_more_usec, dead_usec(e)))', '0 * once_more_usec', 'a restarted backup does not let a master speak once more'),
    (INSTANCE, 'if (i->config->carp.advbase == 0)', 'if (false)',
     'a master restarts though its peers wait less than that'),
    (INSTANCE, 'demotion += c->weight;', 'demotion += 0;', 'a failing check does not demote'),
    (INSTANCE, 'update_demotion(i, now_usec);\n        set_health(i, healthy, now_usec);', 'update_demotion(i, now_usec);',
     'a failing check keeps nobody from being master'),
    (INSTANCE, 'healthy && election_is_barred(&i->election, ELECTION_REASON_HEALTH))\n                step(i, &bar, NULL, now_usec);',
     'false)\n                step(i, &bar, NULL, now_usec);', 'who was not healthy once is never master again'),
    (ELECTION, 'if (reason == ELECTION_REASON_HEALTH)\n                        e->preempt_usec', 'if (false)\n                        e->preempt_usec',
     'who is healthy again preempts without PreemptDelay='),
    (INSTANCE, '                i->send_demoted = !i->send_demoted;\n', '', 'adverts that fail do not demote'),
    (INSTANCE, 'untold = preempts && r < 0', 'untold = false && r < 0', 'who takes over and cannot say so stays beside the master for a dead interval'),
    (INSTANCE, '(error < 0) != i->send_demoted ? i->n_sends + 1 : 0', 'i->n_sends + ((error < 0) != i->send_demoted)',
     'adverts that failed at different times add up'),
    (INSTANCE, '                i->send_demoted = false;\n', '', 'a backup is demoted for what it could not send'),
]

# The same for what keeps sync groups together.
GROUP_BREAKS = [
    (SYNC, 'return n_willing == n ?', 'return n_willing > 0 ?', 'a group takes over when one of it wants to'),
    (SYNC, 'return SYNC_VERDICT_LEAVE;', 'return SYNC_VERDICT_NONE;', 'the others stay master when one of the group is not'),
    (ELECTION, '        if (e->now_usec >= e->master_down_usec && !e->grouped)\n', '        if (e->now_usec >= e->master_down_usec)\n',
     'one of a group preempts alone'),
    (ELECTION, 'if (e->now_usec < due_usec || e->grouped)', 'if (e->now_usec < due_usec)', 'one of a group takes over alone after the silence'),
    (ELECTION, '                if (e->grouped)\n                        spread(e);\n', '',
     'hosts that yielded to each other come back in step'),
    (ELECTION, '                bow_out(u);\n                become_backup(e, ELECTION_REASON_SYNC, u);',
     '                become_backup(e, ELECTION_REASON_SYNC, u);', 'who leaves with its group does not bow out'),
    (ELECTION, '                        hear_of_bow_out(e);\n', '                        (void) hear_of_bow_out;\n',
     'a lost link costs a dead interval on its own segment'),
    (ELECTION, 'max(e->now_usec, add(e->heard_usec, e->heard_interval_usec + margin_usec));', 'e->now_usec + 0 * margin_usec;', 'a bow-out on one segment counts on the others at once'),
    (ELECTION, '        if (e->grouped && e->state == ELECTION_STATE_BACKUP && overslept(e, deadline_usec, e->now_usec))\n', '        if (false)\n',
     'one of a group that slept takes what it did not hear for silence'),
    (ELECTION, ' && !overslept(e, election_deadline_usec(e), now_usec);', ';', 'one of a group that slept is counted before it is asked'),
    (ELECTION, 'e->heard_interval_usec = left ? 0 : skew_interval_usec(e->config.advbase, 254);', 'e->heard_usec = left ? e->heard_usec : 0;', 'a restart forgets that a master was heard'),
    (ELECTION, 'e->down_reason == ELECTION_REASON_PREEMPTING)\n                listen', 'false)\n                listen', 'who is not better any more preempts all the same'),
    (ELECTION, '                return e->grouped && election_due_usec(e) <= e->now_usec ? add(e->now_usec, interval_usec(e)) : election_due_usec(e);',
     '                return election_due_usec(e);', 'who waits for its group is woken for ever'),
    (GROUP, '                share_demotion(g, now_usec);\n', '                (void) share_demotion;\n', 'each member is demoted on its own'),
    (GROUP, '        if (!prepare(g, now_usec))\n                return;\n', '', 'a host takes over before it knows that it can hold every address'),
    (GROUP, '        if (prepare(g, now_usec))\n', '', 'a promoted host takes over before it knows that it can hold every address'),
    (GROUP, 'if (instance_may_promote(member(g, k)->instance) != INSTANCE_VERB_OK)', 'if (false)', 'one is promoted though its group cannot be'),
    (GROUP, '                if (mastered)\n                        follow(g, now_usec);\n', '                (void) follow;\n',
     'who is new in a group does not follow its masters'),
    (INSTANCE, '        if (leaving && i->group)\n', '        if (false)\n', 'a bow-out is heard on its own segment only'),
]

COMMON = [
    'daemon/core/election.c', 'daemon/core/replay.c', 'daemon/core/skew.c', 'daemon/core/sync.c', 'daemon/instance.c', 'daemon/latency.c', 'daemon/sync-group.c',
    'daemon/peers.c', 'daemon/config.c', 'daemon/proto/carp.c', 'daemon/proto/carp-hmac.c', 'daemon/proto/ip-address.c',
]
SIM = ['tests/sim/check.c', 'tests/sim/host.c', 'tests/sim/main.c', 'tests/sim/network.c', 'tests/sim/peers.c', 'tests/sim/schedule.c',
       'tests/sim/sim.c']
SIM_GROUPS = ['tests/sim/groups.c', 'tests/sim/groups-check.c', 'tests/sim/groups-host.c']
# enough for the rarest of them, which comes about twice
SCHEDULES = 100000


def run(command, timeout=None):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace', timeout=timeout)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, f'not done within {timeout} s')


class Builder:
    def __init__(self, root, directory, options=('-O1',), libraries=('glib-2.0', 'nettle')):
        self.root = root
        self.directory = directory
        self.cc = shlex.split(os.environ.get('CC', 'cc'))
        flags = subprocess.check_output(['pkg-config', '--cflags', *libraries], text=True)
        self.flags = ['-std=gnu17', *options, '-D_GNU_SOURCE', '-I' + os.path.join(root, 'daemon'), '-I' + root] + shlex.split(flags)
        self.libs = shlex.split(subprocess.check_output(['pkg-config', '--libs', *libraries], text=True))

    def compile(self, source, name):
        output = os.path.join(self.directory, name.replace('/', '_') + '.o')
        result = run(self.cc + self.flags + ['-I' + os.path.join(self.root, 'tests/sim'), '-x', 'c', '-c', source, '-o', output])
        if result.returncode != 0:
            sys.exit(f'{name} does not compile:\n{result.stdout}')
        return output

    def link(self, objects, name):
        program = os.path.join(self.directory, name)
        result = run(self.cc + objects + self.libs + ['-o', program])
        if result.returncode != 0:
            sys.exit(f'{name} does not link:\n{result.stdout}')
        return program


def broken_source(builder, number, file, text, replacement):
    with open(os.path.join(builder.root, file), encoding='utf-8') as stream:
        source = stream.read()
    if source.count(text) != 1:
        sys.exit(f'{file}: the text of break {number} occurs {source.count(text)} times, not once:\n{text}')
    path = os.path.join(builder.directory, f'break-{number}.c')
    with open(path, 'w', encoding='utf-8') as stream:
        stream.write(source.replace(text, replacement))
    return path


def simulate(program):
    return run([program, f'--schedules={SCHEDULES}', '--jobs=1'])


def verdict(output):
    for line in reversed(output.splitlines()):
        if 'FAILED' in line:
            return line
    return (output.splitlines() or ['killed'])[-1]


def main():
    if len(sys.argv) > 1:
        root = sys.argv[1]
    else:
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
    bad = 0
    with tempfile.TemporaryDirectory(prefix='vipd-breaks-') as directory, ThreadPoolExecutor(os.cpu_count()) as pool:
        builder = Builder(root, directory)
        names = COMMON + SIM + SIM_GROUPS
        objects = dict(zip(names, pool.map(lambda n: builder.compile(os.path.join(root, n), n), names)))

        def attempt(number):
            file, text, replacement, sentence = (BREAKS + GROUP_BREAKS)[number]
            changed = builder.compile(broken_source(builder, number, file, text, replacement), f'break-{number}')
            sources = COMMON + (SIM if number < len(BREAKS) else SIM_GROUPS)
            program = builder.link([changed if n == file else objects[n] for n in sources], f'sim-{number}')
            return sentence, simulate(program)

        wholes = [pool.submit(simulate, builder.link([objects[n] for n in COMMON + sources], name))
                  for name, sources in (('sim', SIM), ('sim-groups', SIM_GROUPS))]
        for sentence, result in pool.map(attempt, range(len(BREAKS + GROUP_BREAKS))):
            noticed = result.returncode != 0
            bad += not noticed
            print(f'{"noticed" if noticed else "MISSED "}  {sentence}')
            print(f'         {verdict(result.stdout)}', flush=True)
        for whole in wholes:
            if whole.result().returncode != 0:
                bad += 1
                print(f'FAILED unbroken: {verdict(whole.result().stdout)}')
    print(f'{len(BREAKS + GROUP_BREAKS)} breaks, {bad} not as expected')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
