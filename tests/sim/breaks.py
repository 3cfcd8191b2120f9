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

BREAKS = [
]

SOURCES = [
    'daemon/core/election.c', 'daemon/core/replay.c', 'daemon/core/skew.c', 'daemon/instance.c', 'daemon/config.c',
    'daemon/proto/carp.c', 'daemon/proto/carp-hmac.c', 'daemon/proto/ip-address.c',
    'tests/sim/check.c', 'tests/sim/host.c', 'tests/sim/main.c', 'tests/sim/network.c', 'tests/sim/peers.c',
    'tests/sim/schedule.c', 'tests/sim/sim.c',
]
# enough for the rarest of them, several times over
SCHEDULES = 20000


def run(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')


class Builder:
    def __init__(self, root, directory):
        self.root = root
        self.directory = directory
        self.cc = shlex.split(os.environ.get('CC', 'cc'))
        flags = subprocess.check_output(['pkg-config', '--cflags', 'glib-2.0'], text=True)
        self.flags = ['-std=gnu17', '-O1', '-D_GNU_SOURCE', '-I' + os.path.join(root, 'daemon'), '-I' + root] + shlex.split(flags)
        self.libs = shlex.split(subprocess.check_output(['pkg-config', '--libs', 'glib-2.0'], text=True))

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
        names = list(SOURCES)
        objects = dict(zip(names, pool.map(lambda n: builder.compile(os.path.join(root, n), n), names)))

        def attempt(number):
            file, text, replacement, sentence = BREAKS[number]
            changed = builder.compile(broken_source(builder, number, file, text, replacement), f'break-{number}')
            program = builder.link([changed if n == file else objects[n] for n in names], f'sim-{number}')
            return sentence, simulate(program)

        whole = pool.submit(simulate, builder.link(list(objects.values()), 'sim'))
        for sentence, result in pool.map(attempt, range(len(BREAKS))):
            noticed = result.returncode != 0
            bad += not noticed
            print(f'{"noticed" if noticed else "MISSED "}  {sentence}')
            print(f'         {verdict(result.stdout)}', flush=True)
        if whole.result().returncode != 0:
            bad += 1
            print(f'FAILED unbroken: {verdict(whole.result().stdout)}')
    print(f'{len(BREAKS)} breaks, {bad} not as expected')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
