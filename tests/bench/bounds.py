# SPDX-License-Identifier: LGPL-2.1-or-later
"""What vipd must reach, and whether it did in one run: each bound beside the number. It reads what is written as JSON."""

from columns import milliseconds
from groups import GROUPS
from summary import median, percentile_95

LATE_MS = 1000  # how long after the end of a lease the kernel may still keep an address
ONE_SECOND, FASTEST = "vipd AdvSkew=0", "vipd AdvBase=0 AdvSkew=1"
KEEPALIVED_FASTEST = "keepalived 10 ms, priority 254, real time"


class Results:
    """The samples of a run, by group and row."""

    def __init__(self, cases):
        self.cases = cases

    def samples(self, case, label):
        """None if the run has not got them. That the benchmark has such a row is made sure, or a bound would be lost with its name."""
        if label not in [row.label() for row in GROUPS[case].rows]:
            raise KeyError(f"{case}: {label}")
        for row in self.cases.get(case, {"rows": []})["rows"]:
            if f"{row['program']} {row['setting']}".strip() == label:
                return row["samples"] or None
        return None

    def values(self, case, label, value):
        samples = self.samples(case, label)
        found = [v for v in map(value, samples or []) if v is not None]
        return found or None


class Bound:
    """One line: `value` and `limit` are numbers, None if the run did not give one."""

    def __init__(self, what, wanted, value, limit, unit="", digits=2):
        self.what, self.wanted, self.value, self.limit, self.unit, self.digits = what, wanted, value, limit, unit, digits

    def kept(self):
        return None if self.value is None or self.limit is None else self.value <= self.limit

    def measured(self):
        return "not measured" if self.value is None else f"{self.value:.{self.digits}f}{self.unit}"

    def wanted_text(self):
        return self.wanted.format("?" if self.limit is None else f"{self.limit:.{self.digits}f}{self.unit}")

    def verdict(self):
        return {True: "yes", False: "NO", None: "-"}[self.kept()]


def made(summary, values):
    return None if values is None else summary(values)


def times(factor, value):
    return None if value is None else factor * value


def smaller(*values):
    known = [v for v in values if v is not None]
    return min(known) if known else None


def crash(r):
    gap, dead, added = (milliseconds(name) for name in ("gap_us", "dead_interval_us", "added_us"))
    fastest = made(median, r.values("crash-fastest", FASTEST, gap))
    interval = made(median, r.values("crash-fastest", FASTEST, dead))
    late = made(median, r.values("crash", ONE_SECOND, added))
    yield Bound("host crash, fastest setting: median gap", "dead interval + 3 ms: {}", fastest,
                None if interval is None else interval + 3, " ms")
    yield Bound("", "half of keepalived at its fastest: {}", fastest,
                times(0.5, made(median, r.values("crash-fastest", KEEPALIVED_FASTEST, gap))), " ms")
    yield Bound("host crash, 1 s: median, after the dead interval", "{}", late, 5, " ms")
    yield Bound("", "keepalived's: {}", late, made(median, r.values("crash", "keepalived priority 100", added)), " ms")


def handover(r):
    gap = milliseconds("gap_us")
    ours = r.values("handover", "vipd AdvSkew=0 and 100, Demote", gap)
    theirs = smaller(*(made(median, r.values("handover", label, gap)) for label in ("ucarp SIGUSR2", "keepalived priority 100, stop")))
    yield Bound("planned handover: median gap", "{}", made(median, ours), 1, " ms")
    yield Bound("planned handover: 95th percentile", "{}", made(percentile_95, ours), 3, " ms")
    yield Bound("planned handover: median gap", "1/20 of ucarp and keepalived: {}", made(median, ours), times(1 / 20, theirs), " ms")


def restart(r):
    for label in ("vipd systemctl restart", "vipd systemctl restart, AdvBase=0 AdvSkew=1"):
        yield Bound(f"{label[5:]}: lost probes", "{}", made(max, r.values("restart", label, lambda s: s["lost"])), 0, digits=0)


def beyond_the_lease(sample):
    return (sample["held_us"] - sample["lease_us"]) / 1000


def killed_and_frozen(r):
    two = milliseconds("two_holders_us")
    for label in ("vipd systemd, AdvSkew=0", "vipd systemd, AdvBase=0 AdvSkew=1"):
        yield Bound(f"killed, {label[5:]}: two holders", "{}", made(max, r.values("killed", label, two)), 100, " ms")
    for label in ("vipd no systemd, AdvSkew=0", "vipd no systemd, AdvBase=0 AdvSkew=1"):
        yield Bound(f"killed, {label[5:]}: held beyond the lease", "the kernel's second: {}",
                    made(max, r.values("killed", label, beyond_the_lease)), LATE_MS, " ms", 0)
    for label in (ONE_SECOND, FASTEST):
        yield Bound(f"frozen, {label[5:]}: held beyond the lease", "the kernel's second: {}",
                    made(max, r.values("frozen", label, beyond_the_lease)), LATE_MS, " ms", 0)
    for label in (ONE_SECOND, FASTEST, "vipd AdvSkew=0 Lease=no"):
        yield Bound(f"frozen, {label[5:]}: adverts on waking", "{}",
                    made(max, r.values("frozen", label, lambda s: s["adverts_on_waking"])), 0, digits=0)


def cost(r):
    def used(program, n, role, name, summary=median):
        return made(summary, r.values("cost", f"{program} {n}", lambda s: s[role].get(name)))
    yield Bound("1,000 addresses at 1 s, master: CPU", "half of keepalived: {}", used("vipd", 1000, "master", "cpu_percent"),
                times(0.5, used("keepalived", 1000, "master", "cpu_percent")), " %")
    for role in ("master", "backup"):
        yield Bound(f"1,000 addresses, {role}: PSS", "keepalived's: {}", used("vipd", 1000, role, "pss_kib"),
                    used("keepalived", 1000, role, "pss_kib"), " KiB", 0)
    yield Bound("1,000 addresses, master: processes", "{}", used("vipd", 1000, "master", "processes", max), 1, digits=0)
    yield Bound("1 address, master: PSS", "keepalived's: {}", used("vipd", 1, "master", "pss_kib"),
                used("keepalived", 1, "master", "pss_kib"), " KiB", 0)
    for role in ("master", "backup"):
        adverts = used("vipd", 1, role, "adverts_per_s")
        yield Bound(f"1 address, {role}: wake-ups per second", "adverts per second + 1: {}", used("vipd", 1, role, "wake_ups_per_s"),
                    None if adverts is None else adverts + 1)
    for what, name, limits in (("system calls", "calls_per_advert", (2, 0.3)), ("allocations", "allocations_per_advert", (0, 0))):
        for n, addresses, limit in zip((1, 1000), ("1 address", "1,000 addresses"), limits):
            for role, verb in (("master", "sent"), ("backup", "received")):
                yield Bound(f"{addresses}: {what} per advert {verb}", "{}", used("vipd", n, role, name), limit)
    started = r.values("cost", "vipd 1000", milliseconds("started_us"))
    dead = r.values("cost", "vipd 1000", milliseconds("dead_interval_us"))
    yield Bound("start of 1,000 addresses: all held", "dead interval + 1 s: {}", made(max, started),
                None if dead is None else dead[0] + 1000, " ms", 0)


def jitter(r):
    for label in ("vipd 1 s", "vipd 50 ms, real time"):
        yield Bound(f"four times overloaded, {label[5:]}: 99th percentile of the advert interval's error", "{} of it",
                    made(max, r.values("jitter", label, lambda s: s["overloaded"]["p99"])), 25, " %")


def judge(cases):
    """All bounds, whether the run has numbers for them or not."""
    r = Results(cases)
    return [bound for part in (crash, handover, restart, killed_and_frozen, cost, jitter) for bound in part(r)]
