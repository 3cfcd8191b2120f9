# SPDX-License-Identifier: LGPL-2.1-or-later
"""Labs in processes of their own, each with one program in it, and the rounds in which they are asked for samples. Two sides:
serve() runs inside a lab and is told by lines on standard input what to do; Room and Run are outside."""

import concurrent.futures
import contextlib
import json
import os
import select
import subprocess
import sys
import time
import traceback

import case
import hosts
import image
import lab as L

PATIENCE = 150.0  # seconds for one answer
EARLY_SECONDS = 1.0
AT_ONCE, ATTEMPTS = 8, 3  # labs, where numbers mean nothing, and for each of them


# The inner side


def serve(lab, group, row, pace):
    nodes = lab.nodes(row.n_hosts)
    it = group.case(lab, row.program(lab, nodes, **row.options_at(pace)), pace)
    for verb in sys.stdin:
        try:
            if verb == "prepare\n":
                answer = {"ready": it.prepare()}
            else:
                before = case.load()
                answer = {"sample": it.measure()}
                after = case.load()
                answer["sample"].update(load1=before["load1"], **{
                    key: (after[key] - before[key]) / max(1, after["all"] - before["all"]) for key in ("idle", "steal")})
        except L.Skip as reason:
            answer = {"failure": f"skipped: {reason}"}
        except Exception as error:
            traceback.print_exc()
            print(lab.story(), file=sys.stderr)
            answer = {"failure": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def inside(groups, argument):
    """argument: what follows --inside."""
    name, number, pace = argument.split(":")
    group, row = groups[name], groups[name].rows[int(number)]
    return L.run_inside(lambda lab: serve(lab, group, row, pace), hosts.BootLab if row.program.systemd else L.Lab)


# The outer side


def make_image():
    """What the hosts that boot are made of, which takes a minute if it is not there. Nothing where it cannot be; their rooms say why."""
    with contextlib.suppress(image.Unfit):
        image.prepare(L.BUILD, hosts.CACHE)


class Room:
    """A lab in a process of its own. script: what enters inside() when it is started with --inside and the argument."""

    def __init__(self, script, argument, row, log):
        argv, environment = L.enter(script, argument), dict(os.environ)
        if row.program.systemd:
            hosts.sweep()
            environment["VIPD_TEST_LAYERS"] = json.dumps(image.prepare(L.BUILD, hosts.CACHE))
            # control groups are named for the process that they belong to
            argv = ["sh", "-c", 'VIPD_TEST_IDENTITY=vipd-boot-$$ exec "$@"', "sh", *argv]
        self.popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        self.identity = self.popen.pid if row.program.systemd else None

    def tell(self, verb):
        # one that has ended says so by having no answer
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.write(verb + "\n")
            self.popen.stdin.flush()

    def answer(self, timeout=PATIENCE):
        if not select.select([self.popen.stdout], [], [], timeout)[0]:
            return {"failure": f"no answer within {timeout} s"}
        line = self.popen.stdout.readline()
        return json.loads(line) if line else {"failure": "the lab ended"}

    def close(self):
        self.popen.kill()
        self.popen.wait()
        if self.identity:
            # its processes are gone within moments, then so can be the groups
            with contextlib.suppress(AssertionError):
                L.wait(lambda: hosts.sweep(self.identity) or not hosts.groups_of(self.identity), "emptied control groups")


class Run:
    """All samples of one group. numbers: which of its rows; pace: as in case.py."""

    def __init__(self, script, name, group, n, numbers, pace, log):
        self.script, self.name, self.group, self.n, self.pace, self.log = script, name, group, n, pace, log
        self.rooms, self.prepared = {}, set()
        self.samples = {k: [] for k in numbers}
        self.failures = {k: [] for k in numbers}

    def prepare(self, number):
        if number in self.prepared:
            return
        self.prepared.add(number)
        if number not in self.rooms:
            try:
                self.rooms[number] = Room(self.script, f"{self.name}:{number}:{self.pace}", self.group.rows[number], self.log)
            except image.Unfit as reason:
                self.failures[number].append(f"skipped: {reason}")
                return
        self.rooms[number].tell("prepare")

    def accept(self, number, what):
        """The answer's `what`, or None and a failure on record; what failed gets a new lab."""
        self.prepared.discard(number)
        if number not in self.rooms:
            return None
        answer = self.rooms[number].answer()
        if what in answer:
            return answer[what]
        self.failures[number].append(answer["failure"])
        self.rooms.pop(number).close()
        return None

    def begin(self, number, ready):
        """ready: the answer to prepare. Returns whether a sample is to come."""
        if ready is None:
            return False
        time.sleep(max(0, ready - L.now()) / 1e6)
        self.rooms[number].tell("measure")
        return True

    def end(self, number):
        sample = self.accept(number, "sample")
        if sample:
            self.samples[number].append(sample)

    def measure(self, number, ready):
        if self.begin(number, ready):
            self.end(number)

    def batches(self, order):
        """Whose labs are there at the same time."""
        if not self.group.apart:
            return [order]
        light = [number for number in order if self.pace == "quick" and self.group.rows[number].light]
        return [batch for batch in (light, *([number] for number in order if number not in light)) if batch]

    def one_round(self, order):
        for batch in self.batches(order):
            for number in batch:
                self.prepare(number)
            ready = {number: self.accept(number, "ready") for number in batch}
            if self.pace == "quick" and (self.group.slow or self.group.apart):
                for number in [number for number in batch if self.begin(number, ready[number])]:
                    self.end(number)
            else:
                for number in batch:
                    self.measure(number, ready[number])
            if self.group.apart:
                self.close()

    def prepare_early(self):
        """While another group is measured, where there is no time to lose. Making a lab takes the kernel's network lock, so that is
        awaited."""
        if not self.group.apart:
            for number in self.samples:
                self.prepare(number)
            time.sleep(EARLY_SECONDS)

    def all(self, progress):
        numbers = list(self.samples)
        for k in range(self.n):
            progress(f"{self.name}: round {k + 1} of {self.n}")
            # each program comes first as often as last
            at = k % len(numbers)
            self.one_round(numbers[at:] + numbers[:at])
        # what was disturbed each time gets one more chance to give a number
        if missing := [number for number in numbers if not self.samples[number]]:
            self.one_round(missing)
        progress("")
        self.close()

    def close(self):
        while self.rooms:
            self.rooms.popitem()[1].close()

    def result(self):
        """As JSON has it."""
        rows = self.group.rows
        return {
            "title": self.group.title,
            "rows": [{"program": rows[k].program.name, "setting": rows[k].setting, "samples": self.samples[k],
                      "failures": self.failures[k]} for k in self.samples],
        }


def smoke(script, groups, names, log):
    """One sample of each row that is for that, several at once: whether there is a number at all. Returns the runs by name."""
    runs = {name: Run(script, name, groups[name], 1, groups[name].numbers(smoke=True), "smoke", log) for name in names}

    def one(run, number):
        # on a machine that has other things to do, an election may be over before its time
        while not run.samples[number] and len(run.failures[number]) < ATTEMPTS:
            run.prepare(number)
            run.measure(number, run.accept(number, "ready"))

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for each in [pool.submit(one, run, number) for run in runs.values() for number in run.samples]:
            each.result()
    for run in runs.values():
        run.close()
    return runs
