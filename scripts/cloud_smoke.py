"""Prove the cloud path for less than a dollar: each way to run a notebook, used once in a real account, and removed again.

python scripts/cloud_smoke.py --repository https://… makes a stack of its own, goes through the stages, and leaves a record of how they
ended, of all that AWS was asked for and whether the stack's policy for operators allows it, and of what is left.
"""

import contextlib
import functools
import http.cookiejar
import json
import re
import secrets
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from cloud import job
from cloud.aws import client, ec2, launch, pricing, rights, sagemaker, stack
from cloud.aws.client import Session
from cloud.aws.launch import LaunchOptions, State
from cloud.commands import aws_command
from mnistlib import files, formatting
from mnistlib.cli.main import main
from mnistlib.cli.options import tell
from mnistlib.errors import SettingError
from mnistlib.logs import log
from mnistlib.notebook import runner

TYPE, TRAINING_TYPE, NOTEBOOK_TYPE = "m7i-flex.large", "ml.m5.large", "ml.t3.medium"  # the first also on AWS's Free plan
MINUTES = 15  # of each run at most
NOTEBOOK_HOURS = 1.0  # of the notebook instance at most: it stops itself after ten minutes without use
SHORT, LONG = {"epochs": 1, "train_limit": 600}, {"epochs": 15}  # the second takes minutes, so it can be stopped in the middle
NAME = re.compile(r"mnistlib-smoke(-?[a-z0-9]){1,30}")
ADMINISTRATOR = ("set-up", "rights", "clean-up")  # whose calls the operator need not be allowed
ENDED_LATE = 1800.0  # seconds after which clean-up no longer waits for machines to end


def cost(session: Session, price: float | None) -> float | None:
    """Return the US dollars that all machines together cost at most, None where a price is not known.

    They are one instance on demand, two on spot, two training jobs and a notebook instance.
    """
    hours = {"ec2": 3 * (MINUTES + ec2.GRACE) / 60, "training": 2 * (MINUTES + sagemaker.GRACE) / 60, "notebook": NOTEBOOK_HOURS}
    if price is not None:
        return price * sum(hours.values())
    prices = {
        "ec2": pricing.ec2(session, TYPE, spot=False),
        "training": pricing.sagemaker(session, TRAINING_TYPE),
        "notebook": pricing.sagemaker(session, NOTEBOOK_TYPE, "Notebook"),
    }
    return None if None in prices.values() else sum(hours[kind] * prices[kind] for kind in hours)


@dataclass
class Smoke:
    """One proof: what it has made and seen; all that it makes carries its name, or that of a run of its own."""

    session: Session
    name: str  # of the stack
    repository: str  # which the notebook instance clones
    folder: Path  # of the results and the record
    price: float | None = None  # US dollars per hour of every machine; None: asked of AWS
    stage: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    stacks: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    calls: dict[tuple[str, rights.Call], bool | None] = field(default_factory=dict)  # whether the operator may do it

    def check(self) -> None:
        """Raise SettingError for a name that is taken or unfit, before anything is made."""
        if not NAME.fullmatch(self.name):
            raise SettingError(
                f"{self.name!r} must begin with mnistlib-smoke and go on with up to thirty small letters, digits and hyphens."
            )
        if not self.repository.startswith("https://"):
            raise SettingError(f"The notebook instance clones an https:// address, not {self.repository!r}; give --repository.")
        for name in (self.name, self.notebook_stack):
            if found := stack.status(self.session, name):
                raise SettingError(f"There is a stack {name!r} already, in the state {found}; it is left as it is; give another --name.")

    @property
    def notebook_stack(self) -> str:
        """Return the name of the notebook instance's stack."""
        return f"mnistlib-notebook-{self.name.removeprefix('mnistlib-')}"

    def run(self) -> bool:
        """Go through all stages, remove what they made, write the record, and say whether all succeeded and nothing is left."""
        account = self.session.client("sts").get_caller_identity()["Account"]
        stopped: BaseException | None = None
        with client.watched(rights.recorder(account, lambda call: self.calls.setdefault((self.stage, call), None))):
            self.session = client.session(self.session.region_name)
            stages = {"ec2": self._on_demand, "ec2-spot": self._spot, "sagemaker-spot": self._training, "notebook": self._notebook}
            try:
                if self._do("set-up", self._set_up):
                    for name, do in stages.items():
                        self._do(name, do)
                    self._do("rights", self._rights)
            except BaseException as error:  # Ctrl-C: what follows is done all the same
                stopped = error
            with _interruptible():
                left = self._end()
        self._write(left)
        if stopped:
            raise stopped
        return not left and all(one["status"] == "succeeded" for one in self.stages)

    def _do(self, name: str, do: Callable[[], Any]) -> bool:
        """Do one stage, note how it ended, and say whether it succeeded."""
        self.stage, clock = name, time.monotonic()
        log.info("── %s", name)
        about = {"stage": name, "status": "stopped", "reason": "", "seconds": 0.0}
        self.stages.append(about)
        try:
            with client.aws_errors():
                do()
            about["status"] = "succeeded"
        except Exception as error:
            about |= {"status": "failed", "reason": f"{error}" or type(error).__name__}
            log.info("%s failed: %s", name, about["reason"])
        finally:
            about["seconds"] = round(time.monotonic() - clock, 1)
        return about["status"] == "succeeded"

    # What is tried

    def _set_up(self) -> None:
        default = [{"Name": "is-default", "Values": ["true"]}]
        networks = self.session.client("ec2").describe_vpcs(Filters=default)["Vpcs"]
        if not networks:
            raise SettingError("The account has no default network in this region; `aws ec2 create-default-vpc` makes one.")
        self._create(self.name, stack.TEMPLATE, {"VpcId": networks[0]["VpcId"], "NotebookHours": "1"})
        self.outputs = stack.stack_outputs(self.session, self.name)

    def _create(self, name: str, template: Path, parameters: dict[str, str]) -> None:
        self.stacks.append(name)
        try:
            stack.create(self.session, name, template, parameters)
        except self.session.client("cloudformation").exceptions.AlreadyExistsException:
            self.stacks.remove(name)  # somebody else's
            raise

    def _on_demand(self) -> None:
        self._run_one(ec2, TYPE, SHORT)

    def _spot(self) -> None:
        self._run_one(ec2, TYPE, LONG, end=ec2.terminate)

    def _training(self) -> None:
        self._run_one(sagemaker, TRAINING_TYPE, LONG, end=sagemaker.stop)

    def _run_one(self, service: Any, kind: str, given: dict[str, Any], end: Callable[[Session, str], Any] | None = None) -> None:
        """Run a notebook to its end; with `end`, on spot capacity, ended by it after the first epoch and started again."""
        seed = secrets.randbelow(10**9)  # so that the run is this one's own, whatever else runs in the account
        one = job.make(runner.find("03_augment"), given | {"split": "validation", "seeds": [seed]})
        options = LaunchOptions(self.outputs["Bucket"], (kind,), self.session.region_name, self.name, bool(end), MINUTES, price=self.price)
        self.runs.append(one.name)

        def start(half: bool) -> State:
            plan = service.plan(one, options)
            machine = service.launch(plan)

            def look() -> State:
                state = service.state(self.session, plan.folder, machine)
                under_way = half and not state.ended and plan.folder.get(f"out/{job.EPOCHS}")
                return replace(state, word="half-way", ended=True) if under_way else state

            state = launch.follow(plan.folder, look)
            if half and state.word == "half-way":
                end(self.session, one.name)
                return launch.follow(plan.folder, lambda: service.state(self.session, plan.folder, machine))
            return state

        if end and (state := start(half=True)).word not in ("stopped", "lost"):
            raise client.CloudError(
                f"{one.name} should have been stopped, but it ended as {state.word}: {state.reason or 'no reason given'}"
            )
        if (state := start(half=False)).word != "succeeded":
            raise client.CloudError(f"{one.name} ended as {state.word}: {state.reason or 'no reason given'}")
        launch.fetch(launch.run_folder(self.session, options.bucket, one.name), self.folder / one.name)
        epochs = [json.loads(line)["epoch"] for line in (self.folder / one.name / job.EPOCHS).read_text(encoding="utf-8").splitlines()]
        if epochs != list(range(1, given["epochs"] + 1)):
            raise client.CloudError(f"{one.name} was not resumed: its epochs were {epochs}.")

    def _notebook(self) -> None:
        given = {"Stack": self.name, "Name": self.name, "Repository": self.repository, "InstanceType": NOTEBOOK_TYPE, "IdleMinutes": "10"}
        self._create(self.notebook_stack, stack.NOTEBOOK, given)
        service, which = self.session.client("sagemaker"), {"NotebookInstanceName": self.name}
        url = service.create_presigned_notebook_instance_url(**which)["AuthorizedUrl"]  # whoever has it can run code there
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        with opener.open(url, timeout=60) as answer:
            log.info("The notebook instance answers with status %s", answer.status)
        service.stop_notebook_instance(**which)
        service.get_waiter("notebook_instance_stopped").wait(**which)
        stack.delete(self.session, self.notebook_stack)

    def _rights(self) -> None:
        """Hold what was called against the policy that the stack gives to its operators."""
        iam, which = self.session.client("iam"), {"PolicyArn": self.outputs["OperatorPolicy"]}
        version = iam.get_policy(**which)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(**which, VersionId=version)["PolicyVersion"]["Document"]
        for stage, call in self.calls:
            if stage not in ADMINISTRATOR:
                self.calls[stage, call] = rights.allowed(document, call)
        if refused := sorted({call[0] for (_, call), may in self.calls.items() if may is False}):
            raise client.CloudError(f"The policy for operators does not allow {formatting.listed(refused)}; the record has the resources.")

    # What is left

    def left(self) -> Iterator[tuple[str, str]]:
        """Yield what this proof has made and is still there, each with the command that removes it, or what could not be listed."""
        where = f" --region {self.session.region_name}"
        kinds = {"instances": self._instances, "training jobs": self._jobs, "notebook instances": self._notebooks}
        for kind, listed in (kinds | {"stacks": self._stacks, "buckets": self._buckets, "logs": self._logs}).items():
            try:
                with client.aws_errors():
                    yield from ((what, command + where) for what, command in listed())
            except Exception as error:
                yield f"Could not list {kind}: {error}", f"mnistlib ec2 list{where}"

    def _instances(self) -> Iterator[tuple[str, str]]:
        for run in self.runs:
            for one in ec2.instances(self.session, run):
                yield f"instance {one['InstanceId']}", f"mnistlib ec2 terminate {run}"

    def _jobs(self) -> Iterator[tuple[str, str]]:
        for run in self.runs:
            if found := sagemaker.active(self.session, run):
                yield f"training job {found}", f"mnistlib sagemaker stop {found}"

    def _notebooks(self) -> Iterator[tuple[str, str]]:
        for page in self.session.client("sagemaker").get_paginator("list_notebook_instances").paginate(NameContains=self.name):
            if any(one["NotebookInstanceName"] == self.name for one in page["NotebookInstances"]):  # of a stopped one, the disk is billed
                yield f"notebook instance {self.name}", f"aws cloudformation delete-stack --stack-name {self.notebook_stack}"

    def _stacks(self) -> Iterator[tuple[str, str]]:
        for name in self.stacks:
            if found := stack.status(self.session, name):
                yield f"stack {name} ({found})", f"aws cloudformation delete-stack --stack-name {name}"

    def _buckets(self) -> Iterator[tuple[str, str]]:
        """Yield the stack's bucket, also of a stack that was never finished: CloudFormation begins its name with the stack's."""
        for one in self.session.client("s3").list_buckets()["Buckets"] if self.stacks else ():
            if one["Name"].startswith(f"{self.name}-storage"):
                yield f"bucket {one['Name']}", f"aws s3 rb s3://{one['Name']} --force"

    def _logs(self) -> Iterator[tuple[str, str]]:
        prefix = f"/aws/lambda/{self.name}-"
        for one in self.session.client("logs").describe_log_groups(logGroupNamePrefix=prefix)["logGroups"] if self.stacks else ():
            yield f"log group {one['logGroupName']}", f"aws logs delete-log-group --log-group-name {one['logGroupName']}"

    def _end(self) -> list[tuple[str, str]]:
        """Remove all that was made, and return what is left all the same; another Ctrl-C ends the removal, not the list."""
        try:
            for run in self.runs:
                self._do("clean-up", functools.partial(ec2.terminate, self.session, run))
                self._do("clean-up", functools.partial(sagemaker.stop, self.session, run))
            self._do("clean-up", self._wait)
            for name in reversed(self.stacks):
                self._do("clean-up", functools.partial(stack.delete, self.session, name))
            self._do("clean-up", self._remove_storage)
            return list(self.left())
        except KeyboardInterrupt:
            log.info("The clean-up was stopped; what is left costs money.")
        try:
            return list(self.left())
        except KeyboardInterrupt:
            names = [(f"perhaps the stack {name}", f"aws cloudformation delete-stack --stack-name {name}") for name in self.stacks]
            return [
                (f"perhaps machines of {run}", f"mnistlib ec2 terminate {run}; mnistlib sagemaker stop {run}") for run in self.runs
            ] + names

    def _wait(self) -> None:
        """Wait until machines have ended, since their stack can only then be deleted."""
        end = time.monotonic() + ENDED_LATE
        while found := [*self._instances(), *self._jobs()]:
            if time.monotonic() > end:
                raise client.CloudError(f"{formatting.listed([what for what, _ in found])} did not end.")
            time.sleep(launch.EVERY)

    def _remove_storage(self) -> None:
        for what, _ in list(self._buckets()):
            bucket = self.session.resource("s3").Bucket(what.rpartition(" ")[2])
            bucket.objects.all().delete()
            bucket.delete()
        for what, _ in list(self._logs()):
            self.session.client("logs").delete_log_group(logGroupName=what.rpartition(" ")[2])

    def _write(self, left: list[tuple[str, str]]) -> None:
        """Write the record and log what is left."""
        calls = [
            {"stage": stage, "action": call[0], "resources": list(call[1]), "conditions": dict(call[2]), "operator_may": may}
            for (stage, call), may in self.calls.items()
        ]
        found = {"name": self.name, "region": self.session.region_name, "stages": self.stages, "left": [what for what, _ in left]}
        path = files.write(self.folder / "smoke.json", json.dumps(found | {"calls": calls}, indent=1) + "\n")
        for one in self.stages:
            log.info("%-15s %s  %s", one["stage"], one["status"], one["reason"])
        for what, command in left:
            log.info("Left: %s. Remove it with `%s`", what, command)
        log.info("%sRecord: %s", "" if left else "Nothing of this proof is left. ", path)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt in here, also where it was pressed once before."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@click.command()
@click.option("--repository", required=True, metavar="URL", help="Where the notebook instance clones this project from; https://…")
@click.option("--name", default=None, metavar="NAME", help="Of the stack, which must not exist. [default: mnistlib-smoke-…, a new one]")
@click.option("--price", type=float, default=None, metavar="DOLLARS", help="Per hour of every machine. [default: asked of AWS]")
@click.option("--max-dollars", type=float, default=1.0, show_default=True, metavar="DOLLARS", help="Start nothing that may cost more.")
@click.option("--out", default=None, type=click.Path(path_type=Path), metavar="FOLDER", help="[default: build/cloud-smoke/NAME]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@aws_command
def cloud_smoke(session: Session, name: str | None, max_dollars: float, out: Path | None, yes: bool, **given: Any) -> None:
    """Run on EC2, on spot and as a training job, resume what is stopped, open a notebook instance, and remove it all.

    The exit code is 0 where all of it succeeded and nothing is left.
    """
    name = name or f"mnistlib-smoke-{secrets.token_hex(3)}"
    smoke = Smoke(session, name, folder=out or files.root() / "build" / "cloud-smoke" / name, **given)
    smoke.check()
    dollars = cost(session, given["price"])
    if dollars is None:
        raise SettingError("The prices per hour are not known, so --max-dollars cannot be kept; give the highest with --price.")
    if dollars > max_dollars:
        raise SettingError(
            f"All machines together may cost {formatting.dollars(dollars)}, and --max-dollars allows {formatting.dollars(max_dollars)}; "
            "allow more, or choose a cheaper --region."
        )
    tell(
        f"{name} in {session.region_name}: at most {formatting.dollars(dollars)}, in half an hour to an hour. Ctrl-C removes what it made."
    )
    if not yes and not click.confirm("Start?"):
        tell("Nothing was started.")
    elif not smoke.run():
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(cloud_smoke, "cloud_smoke"))
