#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The metrics as those read them for whom they are: promtool, a real node_exporter, and a real Prometheus that scrapes it, with the alerts and the
dashboard of docs/prometheus. Everything on the loopback of a namespace of its own. See lab.py."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request

from lab import StandIn, TREE, bus, equal, has, main, read, vipctl, wait, write

try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
    from prometheus_client.parser import text_string_to_metric_families as parse_prometheus
except ImportError:
    parse_openmetrics = None

ALERTS = f"{TREE}/docs/prometheus/alerts.yml"
DASHBOARD = f"{TREE}/docs/prometheus/dashboard.json"
DIRECTORY = "/run/node-exporter"
EXPORTER, PROMETHEUS = "127.0.0.1:9100", "127.0.0.1:9090"


def metrics(form="prometheus"):
    r = vipctl("metrics", f"--format={form}")
    equal((r.code, r.err), (0, ""), f"metrics in the format {form}")
    return r.out


def write_file():
    """As vipd-metrics.service does."""
    os.makedirs(DIRECTORY, exist_ok=True)
    write(f"{DIRECTORY}/.vipd.prom.new", metrics())
    os.rename(f"{DIRECTORY}/.vipd.prom.new", f"{DIRECTORY}/vipd.prom")
    return read(f"{DIRECTORY}/vipd.prom")


def promtool(*argv, text=None, cwd=None):
    r = subprocess.run(["promtool", *argv], input=text, capture_output=True, text=True, check=False, timeout=60, cwd=cwd)
    return r.returncode, r.stdout + r.stderr


def accepted(*argv, **more):
    code, text = promtool(*argv, **more)
    if code != 0:
        raise AssertionError(f"promtool {' '.join(argv)}: exit code {code}\n{text}")


def fetch(address, path):
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
            return answer.read().decode()
    except OSError:
        return None


class Program:
    """One that serves on the loopback, once it does."""

    def __init__(self, address, path, *argv):
        self.address, self.path, self.argv = address, path, argv

    def __enter__(self):
        log = f"/run/{self.argv[0]}.log"
        with open(log, "w", encoding="utf-8") as f:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f)
        wait(lambda: self.process.poll() is not None or fetch(self.address, self.path), lambda: f"{self.argv[0]} answers: {read(log)}", 60)
        equal(self.process.poll(), None, f"the exit code of {self.argv[0]}, which said {read(log)}")
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(30)


def node_exporter():
    return Program(EXPORTER, "/metrics", "prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
                   f"--collector.textfile.directory={DIRECTORY}", f"--web.listen-address={EXPORTER}")


def samples(families):
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def without_floats(found):
    """1 and 1.0 are one bound."""
    return {(name, tuple((k, str(float(v)) if k == "le" else v) for k, v in labels)): value for (name, labels), value in found.items()}


# --- the formats --------------------------------------------------------------------------------------------------------------


def test_promtool_has_nothing_to_say_of_them():
    code, text = promtool("check", "metrics", text=metrics())
    equal((code, text), (0, ""), "promtool check metrics")


def test_both_formats_have_the_same_samples_and_heads():
    new, old = list(parse_openmetrics(metrics("openmetrics"))), list(parse_prometheus(metrics()))
    equal(sorted(samples(new)), sorted(samples(old)), "samples")
    heads = [{f.name: (f.type, f.documentation) for f in families} for families in (new, old)]
    equal(heads[0], heads[1], "families")
    equal(set(f.type for f in new), {"gauge", "counter", "histogram"}, "types")
    for f in new:
        equal(f.name.endswith(f"_{f.unit}") if f.unit else not f.name.endswith("_seconds"), True, f"the unit of {f.name}")
    equal(*([line.rsplit(" ", 1)[0] for line in metrics().split("\n")] for _ in range(2)), "the order, twice")
    equal((metrics("openmetrics")[-6:], metrics().count("# EOF"), metrics().count("# UNIT")), ("# EOF\n", 0, 0), "the end")


def test_what_others_say_is_quoted():
    check = 'a "b"\\c\nd{e}'
    with StandIn(check=check):
        found = [samples(list(parse_openmetrics(metrics("openmetrics")))), samples(parse_prometheus(metrics()))]
        code, text = promtool("check", "metrics", text=metrics())
    equal((code, text), (0, ""), "promtool check metrics")
    for each in found:
        equal(each[("vipd_check", (("check", check), ("name", "web"), ("result", "failing")))], 1, "a check of a strange name")


# --- node_exporter ------------------------------------------------------------------------------------------------------------


def test_node_exporter_serves_what_was_written():
    text = write_file()
    with node_exporter():
        served = fetch(EXPORTER, "/metrics")
        families = {f.name: f for f in parse_prometheus(served)}
        told = samples(families.values())
        equal(told[("node_textfile_scrape_error", ())], 0, "node_textfile_scrape_error")
        equal([k for k in told if k[0] == "node_textfile_mtime_seconds"], [("node_textfile_mtime_seconds", (("file", f"{DIRECTORY}/vipd.prom"),))], "files read")
        equal({k: v for k, v in without_floats(told).items() if k[0].startswith("vipd_")}, without_floats(samples(parse_prometheus(text))), "samples")
        for f in parse_prometheus(text):
            # without a sample, a family is nothing to it
            if f.samples:
                equal((families[f.name].type, families[f.name].documentation), (f.type, f.documentation), f"the head of {f.name}")
        bus.stop_vipd()
        try:
            equal(metrics(), write_file(), "what is written without a daemon")
            equal([line for line in fetch(EXPORTER, "/metrics").split("\n") if line.startswith("vipd_")], ["vipd_up 0"], "what is served without a daemon")
        finally:
            bus.start_vipd()


# --- alerts -------------------------------------------------------------------------------------------------------------------


def alerts():
    return re.findall(r"^ +- alert: (\w+)$", read(ALERTS), re.M)


def run_alerts(change=lambda text: text):
    directory = "/run/rules"
    os.makedirs(directory, exist_ok=True)
    write(f"{directory}/alerts.yml", change(read(ALERTS)))
    shutil.copy(f"{TREE}/tests/ctl/alerts-test.yml", directory)
    return promtool("test", "rules", "alerts-test.yml", cwd=directory)


def test_each_alert_fires_and_does_not_fire():
    accepted("check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    code, text = run_alerts()
    equal(code, 0, f"promtool test rules: {text}")
    for expression, what in (("vector(0) > 1", "never"), ("vector(1)", "always")):
        code, text = run_alerts(lambda alerts, e=expression: re.sub(r"(?m)^( +expr: ).*$", rf"\g<1>{e}", alerts))
        equal(sorted(set(re.findall(r"alertname: (\w+)", text))), sorted(alerts()), f"alerts whose cases notice that they {what} fire")


# --- Prometheus, and what asks it ---------------------------------------------------------------------------------------------


def dashboard():
    return json.loads(read(DASHBOARD))


def expressions():
    """What is drawn: (where, expression), with Grafana's variables as Grafana replaces them."""
    d = dashboard()
    found = [(f"{p['title']}, {t['refId']}", t["expr"]) for p in d["panels"] for t in p["targets"]]
    found += [(a["name"], a["expr"]) for a in d["annotations"]["list"]]
    values = {v["name"]: v.get("allValue", "") for v in d["templating"]["list"]} | {"__rate_interval": "1m", "__range": "1h", "__interval": "15s"}
    return [(where, re.sub(r"\$(\w+)", lambda m: values[m[1]], e)) for where, e in found]


def test_the_dashboard_can_be_imported():
    d = dashboard()
    equal([k for k in ("id", "__inputs") if d.get(k)], [], "what is of one Grafana alone")
    equal((bool(d["title"]), d["schemaVersion"] >= 36), (True, True), "title and schema")
    equal(len({p["id"] for p in d["panels"]}), len(d["panels"]), "numbers of panels")
    taken = {}
    for p in d["panels"]:
        equal(bool(p["targets"]) and len({t["refId"] for t in p["targets"]}) == len(p["targets"]), True, f"targets of {p['title']}")
        for owner in [p, *p["targets"]]:
            equal(owner["datasource"], {"type": "prometheus", "uid": "${datasource}"}, f"the data source of {p['title']}")
        g = p["gridPos"]
        equal(g["x"] + g["w"] <= 24, True, f"{p['title']} fits the grid")
        for cell in ((x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])):
            equal(taken.setdefault(cell, p["title"]), p["title"], f"who is at {cell}")
    equal(d["templating"]["list"][0]["name"], "datasource", "the first variable")
    write("/run/dashboard.yml", json.dumps({"groups": [{"name": "dashboard", "rules": [
        {"record": f"panel:{n}", "expr": e} for n, (_, e) in enumerate(expressions())]}]}))
    accepted("check", "rules", "/run/dashboard.yml")


def query(expression):
    answer = json.loads(fetch(PROMETHEUS, "/api/v1/query?" + urllib.parse.urlencode({"query": expression})))
    equal(answer["status"], "success", f"{expression}: {answer}")
    return answer["data"]["result"]


def rules():
    return [r for g in json.loads(fetch(PROMETHEUS, "/api/v1/rules"))["data"]["groups"] for r in g["rules"]]


def test_every_metric_that_is_asked_for_is_there():
    """By a Prometheus that scrapes the node_exporter: what the alerts, the dashboard and docs/metrics.md name, and what the dashboard draws."""
    vipctl("demote", "--for=1h", "web")
    vipctl("promote", "web")
    bus.vip_file("web", 1, "192.0.2.10", more="[Check there]\nType=link\nInterface=lo\n")
    equal(vipctl("reload").code, 0, "reload")
    wait(lambda: 'vipd_check{name="web",check="there",result="passing"} 1' in metrics(), "the check passes")
    write_file()
    shutil.copy(ALERTS, "/run/alerts.yml")
    write("/run/prometheus.yml", "global:\n  scrape_interval: 2s\n  scrape_timeout: 2s\n  evaluation_interval: 2s\nrule_files: [/run/alerts.yml]\n"
          f"scrape_configs:\n  - job_name: node\n    static_configs:\n      - targets: ['{EXPORTER}']\n")
    with node_exporter(), Program(PROMETHEUS, "/-/ready", "prometheus", "--config.file=/run/prometheus.yml", "--storage.tsdb.path=/run/tsdb",
                                  f"--web.listen-address={PROMETHEUS}", "--log.level=warn"):
        wait(lambda: query("count_over_time(vipd_up[5m]) >= 3"), "three scrapes", 60)
        known = set(json.loads(fetch(PROMETHEUS, "/api/v1/label/__name__/values"))["data"])
        for path in ("docs/prometheus/alerts.yml", "docs/prometheus/dashboard.json", "docs/metrics.md"):
            # also what only looks like one: a unit, a file, a family that is named
            asked = {n for n in re.findall(r"\b(?:vipd|node)_[a-z_]+", read(f"{TREE}/{path}")) if n not in ("node_exporter", "vipd_takeover_seconds")}
            equal(sorted(asked - known), [], f"metrics that {path} asks for and that are not there")
        for where, expression in expressions():
            if where != "Takeovers":
                # a scrape that comes too late leaves a hole
                wait(lambda e=expression: query(e), f"{where} draws something: {expression}")
        documented = re.findall(r"^\| [^|`]* \| `([^`]*)` \|$", read(f"{TREE}/docs/metrics.md"), re.M)
        equal(len(documented), 7, "examples in docs/metrics.md")
        for expression in documented:
            query(expression)
        wait(lambda: [r["metric"]["name"] for r in query('vipd_state{state="master"} == 1')] == ["web", "web2"],
             "masters, with a label that stays")
        wait(lambda: all(r["health"] == "ok" for r in rules()), lambda: f"every rule is evaluated: {rules()}", 60)
        equal([r["name"] for r in rules()], alerts(), "rules")
        has(fetch(PROMETHEUS, "/api/v1/metadata?metric=vipd_takeover_seconds"), '"type":"histogram"')


if __name__ == "__main__":
    if not parse_openmetrics:
        print("1..0 # SKIP this test needs python3-prometheus-client")
        sys.exit(77)
    sys.exit(main(globals(), __file__, ("prometheus", "prometheus-node-exporter", "promtool")))
