"""A sweep's jobs as an EC2 instance or a SageMaker training job each, a few at a time, under one limit of cost."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloud import job
from cloud.aws import client, launch
from cloud.aws.launch import LaunchOptions, LaunchPlan, State
from cloud.job import Job
from cloud.sweep import ray_sweep
from mnistlib import files, formatting
from mnistlib.errors import ResultError, SettingError
from mnistlib.logs import log

MAX_MACHINES = 100
GO_ON = "Machines that have been started go on; the same command takes them up again, and `{end}` ends one."


def plan(jobs: Sequence[Job], folder: Path, service: Any, options: LaunchOptions) -> list[LaunchPlan]:
    """Return the plans of those jobs that have not succeeded, here or in the bucket; what has is downloaded.

    `service` is cloud.aws.ec2 or cloud.aws.sagemaker. Raises SettingError where the plans may cost more together than --max-dollars.
    """
    session, planned = client.session(options.region), []
    missing = [one for one in jobs if not job.succeeded(one, folder / one.name)]
    if len(missing) > MAX_MACHINES:
        raise SettingError(f"The sweep needs {formatting.count(len(missing))} machines; at most {MAX_MACHINES} are allowed.")
    for one in missing:
        remote = launch.run_folder(session, options.bucket, one.name)
        if launch.succeeded(remote):
            launch.fetch(remote, folder / one.name)
        else:
            planned.append(service.plan(one, options))
    if planned:
        launch.check_cost(*planned)
    return planned


def run(plans: Sequence[LaunchPlan], folder: Path, service: Any, at_once: int) -> None:
    """Start each planned run, `at_once` at a time, and bring home what it leaves; one that is under way already is followed.

    A start for which AWS has no capacity or quota waits until another run has ended; without another, its error ends the sweep.
    """
    waiting, running, started, failures, total = list(plans), {}, {}, 0, len(plans)
    while waiting or running:
        while waiting and len(running) < at_once:
            one = waiting[0]
            try:
                with client.aws_errors():
                    machine = service.active(one.session, one.job.name) or service.launch(service.plan(one.job, one.options))
            except client.CloudError as error:
                if not running:
                    raise
                log.info("%s waits: %s", one.job.name, error)
                break
            running[machine], started[machine] = waiting.pop(0), time.monotonic()
            log.info("%s  %s  started as %s", one.job.name, ray_sweep.described(one.job), machine)
        time.sleep(launch.EVERY)
        for machine, one in list(running.items()):
            try:
                with client.aws_errors():
                    state = service.state(one.session, one.folder, machine)
                    if state.ended:
                        _bring(one, state, folder)
            except client.CloudError:
                failures += 1
                if failures == launch.FAILURES:
                    raise
                continue
            failures = 0
            if time.monotonic() - started[machine] > launch.LONGEST:
                raise client.CloudError(f"{machine} has not ended after {formatting.seconds(launch.LONGEST)}; end it by hand.")
            if state.ended:
                del running[machine]
                ended = total - len(waiting) - len(running)
                log.info("%s  %s  %s  %s", one.job.name, ray_sweep.described(one.job), state.word, formatting.of(ended, total))


def _bring(one: LaunchPlan, state: State, folder: Path) -> None:
    """Download what a run has left; where it left no record, write one that says why."""
    target, reason = folder / one.job.name, state.reason or f"The run ended as {state.word}, without a record."
    if launch.read_record(one.folder) is not None:
        try:
            launch.fetch(one.folder, target)
        except ResultError as error:
            reason = str(error)
    if job.read_if_any(one.job, target) is None:
        files.write(target / job.RECORD, job.record_text(one.job, "failed", reason, 0.0))
