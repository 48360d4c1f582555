"""The shipped schedules, checked as far as text can be: neither systemd nor Kubernetes runs them here."""

from __future__ import annotations

import configparser
from pathlib import Path

import yaml

SCHEDULES = Path(__file__).parents[3] / "docs/schedules"


def unit(name):
    found = configparser.ConfigParser(interpolation=None, strict=True)
    found.optionxform = str
    found.read(SCHEDULES / name)
    return found


def test_the_service_runs_once_a_start_and_does_not_retry_what_a_retry_cannot_mend():
    service = unit("allocate-nightly.service")["Service"]
    assert service["Type"] == "oneshot"
    assert service["ExecStart"].endswith("allocate nightly run --config /etc/allocate/nightly.yaml")
    assert service["RestartPreventExitStatus"].split() == ["6", "7", "8"]


def test_the_timer_fires_by_utc_and_catches_up():
    timer = unit("allocate-nightly.timer")["Timer"]
    assert timer["OnCalendar"].endswith("UTC")
    assert timer["Persistent"] == "true"


def test_the_cron_job_forbids_two_at_once():
    job = yaml.safe_load((SCHEDULES / "cronjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert job["spec"]["timeZone"] == "Etc/UTC"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["containers"][0]["command"][:3] == ["allocate", "nightly", "run"]
    mounts = {m["name"] for m in pod["containers"][0]["volumeMounts"]}
    assert mounts == {v["name"] for v in pod["volumes"]}
