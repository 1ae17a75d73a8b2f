"""Faults that scripts/check-dashboards must find: each is planted alone in a copy of dashboards, rules, page of
alerts and vocabulary. One that is not found means that a check has gone blind. Standard library only.
"""

import json
import shutil
import tempfile
from pathlib import Path

from promql import Wrong

RUNBOOK = "docs/alerts.md"


def dashboards_in(root):
    return sorted(path for path in (root / "dashboards").glob("*.json") if path.name != "empty.json")


def edit(path, old, new):
    text = path.read_text()
    if old not in text:
        raise Wrong(f"self-test: {old!r} is not in {path.name}, so no fault can be planted there")
    path.write_text(text.replace(old, new, 1))


def edit_panel(change, title="Decisions by outcome", file="overview.json"):
    """A fault in one panel: `change` gets it and the whole dashboard."""
    def plant(root):
        path = root / "dashboards" / file
        dashboard = json.loads(path.read_text())
        [panel] = [panel for panel in dashboard["panels"] if panel["title"] == title]
        change(panel, dashboard)
        path.write_text(json.dumps(dashboard))
    return plant


def edit_target(**changes):
    return edit_panel(lambda panel, _: panel["targets"][0].update(changes))


def expression(text):
    return edit_target(expr=text)


def edit_file(name, old, new):
    return lambda root: edit(root / name, old, new)


def hide(metric):
    """No panel shows this metric any more."""
    def plant(root):
        for path in dashboards_in(root):
            dashboard = json.loads(path.read_text())
            shows = [metric in json.dumps(panel.get("targets")) for panel in dashboard["panels"]]
            dashboard["panels"] = [panel for panel, is_it in zip(dashboard["panels"], shows) if not is_it]
            path.write_text(json.dumps(dashboard))
    return plant


CHOSEN = '{job=~"$job", instance=~"$instance"}'
RATE = f"sum by (outcome) (rate(weir_decisions_total{CHOSEN}[$__rate_interval]))"
ALERTS, RECORDING = "dashboards/rules/weir-alerts.yml", "dashboards/rules/weir-recording.yml"
EMPTY = "dashboards/empty.json"

# name of the fault, how it is planted, and a part of the finding it must cause
FAULTS = [
    ("broken JSON", edit_file("dashboards/sinks.json", "{", "{,"), "is no JSON"),
    ("no title", edit_panel(lambda panel, _: panel.update(title="")), "has no title"),
    ("no description", edit_panel(lambda panel, _: panel.pop("description")), "its description is not"),
    ("a description without what is normal",
     edit_panel(lambda panel, _: panel.update(description="Shows some. Otherwise: mend it.")),
     "its description is not"),
    ("no unit", edit_panel(lambda panel, _: panel["fieldConfig"]["defaults"].pop("unit")), "has no unit"),
    ("no targets", edit_panel(lambda panel, _: panel.update(targets=[])), "has no targets"),
    ("no expression", edit_target(expr=""), "has no expression"),
    ("no legend", edit_target(legendFormat=""), "has no legend"),
    ("a hidden legend", edit_panel(lambda panel, _: panel["options"]["legend"].update(showLegend=False)),
     "shows no legend"),
    ("one refId twice", edit_panel(lambda panel, _: panel["targets"].append(panel["targets"][0])),
     "two targets have one refId"),
    ("falling thresholds", edit_panel(lambda panel, _: panel["fieldConfig"]["defaults"]["thresholds"]["steps"].extend(
        [{"value": 5, "color": "red"}, {"value": 1, "color": "red"}])), "its thresholds are"),
    ("a fixed data source", edit_target(datasource={"type": "prometheus", "uid": "PBFA97CFB590B2093"}),
     "its data source is"),
    ("a panel with a fixed data source", edit_panel(lambda panel, _: panel.update(datasource=None)),
     "its data source is"),
    ("no variable instance", edit_panel(lambda _, dashboard: dashboard["templating"]["list"].pop()),
     "instance is missing"),
    ("a variable of one value", edit_panel(lambda _, dashboard: dashboard["templating"]["list"][1].update(multi=False)),
     "expected multi"),
    ("a variable of no metric", edit_panel(lambda _, dashboard: dashboard["templating"]["list"][1].update(
        definition="label_values(weir_built, job)")),
     "there is no metric weir_built"),
    ("one uid twice", edit_panel(lambda _, dashboard: dashboard.update(uid="weir-sinks")), "is that of"),
    ("an old schema", edit_panel(lambda _, dashboard: dashboard.update(schemaVersion=30)), "expected 39 or later"),
    ("one id twice", edit_panel(lambda panel, _: panel.update(id=1)), "has id 1"),
    ("an overlap", edit_panel(lambda panel, _: panel["gridPos"].update(x=2)), "overlaps"),
    ("beyond the grid", edit_panel(lambda panel, _: panel["gridPos"].update(w=25)), "expected x, y, w, h within 24"),
    ("no PromQL", expression(RATE + ")"), "expected the end"),
    ("an unknown metric", expression(RATE.replace("decisions", "verdicts")), "there is no metric weir_verdicts_total"),
    ("a histogram without its part", expression(f"weir_commit_duration_seconds{CHOSEN}"),
     "there is no metric weir_commit_duration_seconds"),
    ("an unknown function", expression(f"rates(weir_decisions_total{CHOSEN}[$__rate_interval])"),
     "function rates is not known"),
    ("an unknown label in by", expression(RATE.replace("(outcome)", "(verdict)")), "by (…) names labels"),
    ("an unknown label in a matcher", expression(RATE.replace("{job", '{verdict="BLOCK", job')),
     "has no label verdict"),
    ("an unknown label in a legend", edit_target(legendFormat="{{verdict}}"), "the legend names verdict"),
    ("a legend that is the same for all", edit_target(legendFormat="decisions"), "is the same for all series"),
    ("a bare counter", expression(f"sum by (outcome) (weir_decisions_total{CHOSEN})"), "stands by itself"),
    ("a rate of a gauge", expression(f"rate(weir_lag_records{CHOSEN}[$__rate_interval])"), "which is no counter"),
    ("a rate of no range", expression(f"rate(weir_decisions_total{CHOSEN})"), "what is no range"),
    ("a sum of a range", expression(f"sum(weir_lag_records{CHOSEN}[$__rate_interval])"), "of a range"),
    ("a fixed window", expression(RATE.replace("$__rate_interval", "5m")), "expected [$__rate_interval]"),
    ("a quantile of a recording rule", expression(
        f"histogram_quantile(0.9, sum by (le) (instance_le:weir_decision_duration_seconds_bucket:rate5m{CHOSEN}))"),
     "of a fixed window"),
    ("a quantile without le",
     expression(f"histogram_quantile(0.9, sum(rate(weir_commit_duration_seconds_bucket{CHOSEN}[$__rate_interval])))"),
     "without le"),
    ("series of all processes", expression(RATE.replace(', instance=~"$instance"', "")),
     "is not limited to what was chosen"),
    ("sides that never match", expression(f"weir_lag_records{CHOSEN} / weir_partitions_owned{CHOSEN}"),
     "nothing would match"),
    ("a metric that nobody shows", hide("weir_process_open_files"), "is on no panel"),
    ("a metric that is gone", edit_file("metric.rs", "weir_kafka_timeouts", "weir_kafka_unanswered"),
     "there is no metric weir_kafka_timeouts"),
    ("a label that is gone", edit_file("metric.rs", 'weir_store_retries_total", Counter, ["code"]',
                                       'weir_store_retries_total", Counter, []'),
     "by (…) names labels"),
    ("a metric that cannot be read",
     edit_file("metric.rs", '"weir_commits_total", Counter,', '"weir_commits_total", Summary,'), "cannot be read"),
    ("an alert without a section", edit_file(RUNBOOK, "## WeirPressure", "## WeirPressures"), "has no section"),
    ("a section without an alert", edit_file(RUNBOOK, "## WeirPressure", "## WeirPressures"), "there is no such alert"),
    ("a section that says not what to do", edit_file(RUNBOOK, "**Do.**", ""), "has no **Do.**"),
    ("an alert of no severity", edit_file(ALERTS, "severity: critical", "severity: high"), "its severity is high"),
    ("an alert without its value", edit_file(ALERTS, " (up is {{ $value }})", ""), "has no {{ $value }}"),
    ("an alert that names no label of its own",
     edit_file(ALERTS, "weir at {{ $labels.instance }} does not", "weir at {{ $labels.pod }} does not"),
     "names the label pod"),
    ("an alert with another's section", edit_file(ALERTS, "#weirdown", "#weirabsent"), "its runbook_url is"),
    ("an alert of an unknown metric", edit_file(ALERTS, "weir_pressure_steps > 0", "weir_pressure > 0"),
     "there is no metric weir_pressure"),
    ("an alert on a bare counter",
     edit_file(ALERTS, 'sum by (job, instance) (weir_dead_letters_total{stage="notify"} offset 30m)',
               "weir_part_ready"),
     "stands by itself"),
    ("an alert without a test that fires", edit_file("dashboards/rules/tests/kafka.yml", "alertname: WeirKafkaTimeouts",
     "alertname: WeirDown"),
     "has no test in which it fires"),
    ("an alert without a test that does not fire", edit_file("dashboards/rules/tests/kafka.yml", "exp_alerts: []",
     "exp_alerts:\n          - exp_labels:\n              severity: warning"),
     "has no test in which it does not fire"),
    ("a test of no alert",
     edit_file("dashboards/rules/tests/kafka.yml", "alertname: WeirKafkaTimeouts", "alertname: WeirKafka"),
     "there is no alert WeirKafka"),
    ("a recording rule that nobody reads", edit_file(RECORDING, "record: job:weir_lag_wait_seconds:late_ratio6h",
     "record: job:weir_lag_wait_seconds:late_ratio7h"),
     "is read by no panel"),
    ("a recording rule of another level",
     edit_file(RECORDING, "record: instance:weir_touch_age", "record: job:weir_touch_age"),
     "expected the level instance"),
    ("a recording rule named after something else",
     edit_file(RECORDING, "record: instance:weir_touch_age_seconds", "record: instance:weir_touches"),
     "is named after weir_touches"),
    ("YAML that is not read",
     edit_file(RECORDING, "  - name: weir-recording-flow", "  - name: &flow weir-recording-flow"),
     "is YAML that is not read here"),
    ("an empty metric that does not exist", edit_file(EMPTY, '"metric": "weir_', '"metric": "weir_no_'),
     "is in no dashboard, rule or vocabulary"),
    ("an empty metric without a reason", edit_file(EMPTY, '"reason": "', '"reason": "", "because": "'),
     "has no reason"),
]


# found only by running the tests
TOOL_FAULTS = [
    ("an alert that fires too early",
     edit_file(ALERTS, "expr: weir_pressure_steps >= 3", "expr: weir_pressure_steps >= 2"), "promtool test rules"),
    ("a ratio of something else", edit_file(RECORDING, '{stage!="notify"}', '{stage!="decode"}'),
     "promtool test rules"),
    ("an alert that says something else", edit_file(ALERTS, "expected 10 s at most", "expected 20 s at most"),
     "promtool test rules"),
]


def find_all(root, vocabulary, check, has_promtool):
    """Plants each fault in a copy of what is under `root`, and has `check` look; how many it missed."""
    failed = 0
    faults = FAULTS + (TOOL_FAULTS if has_promtool else [])
    with tempfile.TemporaryDirectory(prefix="weir-check-dashboards.") as folder:
        for number, (name, plant, wanted) in enumerate([("nothing", lambda root: None, None), *faults]):
            copy = Path(folder) / str(number)
            shutil.copytree(root / "dashboards", copy / "dashboards")
            (copy / "docs").mkdir()
            shutil.copy(root / RUNBOOK, copy / RUNBOOK)
            shutil.copy(vocabulary, copy / "metric.rs")
            plant(copy)
            findings, _ = check(copy, copy / "metric.rs", with_promtool=number > len(FAULTS))
            found = [f"{where}: {what}" for _, where, _, what in findings.all]
            good = not found if wanted is None else any(wanted in what for what in found)
            if not good:
                failed += 1
                print(f"self-test: {name}: found {found[:5]}, expected {wanted or 'nothing'!r}")
            shutil.rmtree(copy)
    print(f"check-dashboards: {len(faults) - failed} of {len(faults)} planted faults found" if failed else
          f"check-dashboards: all {len(faults)} planted faults found, none where none was planted")
    return failed
