"""The commands that this package adds to `mnistlib`: job, sweep, ec2 and sagemaker; the last two share run, status and fetch."""

import functools
import importlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mnistlib import logs
from mnistlib.cli.options import folder, parameterised, parameters, tell
from mnistlib.errors import MnistlibError, SettingError

if TYPE_CHECKING:
    from cloud.aws.client import Session
    from cloud.aws.launch import State
    from cloud.aws.s3 import Folder
    from cloud.job import Job
    from cloud.sweep.ray_sweep import Sweep

TAIL = 10  # lines of a run's log that `status` shows

BUCKET = click.option("--bucket", required=True, metavar="NAME", help="Where runs are kept: the stack's output Bucket.")
WAIT = click.option("--wait", is_flag=True, help="Show what the run prints until it has ended.")
NAME = click.argument("name", metavar="RUN")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Check everything, print what would be started, and stop there.")
REGION = click.option("--region", default=None, metavar="NAME", help="Such as eu-central-1. [default: that of AWS's settings]")
TYPES = {"ec2": "c7i.xlarge", "sagemaker": "ml.c7i.xlarge"}  # the default one of each service
LAUNCH_NAMES = ("image", "stack", "spot", "minutes", "price", "max_dollars")
LAUNCH = (
    click.option("--image", default=None, metavar="IMAGE", help="What a machine starts from; see docs/cloud.md for the default."),
    click.option("--stack", default="mnistlib", show_default=True, metavar="NAME", help="The CloudFormation stack."),
    click.option("--spot", is_flag=True, help="Use spare capacity, for less; an interrupted run resumes with the same command."),
    click.option("--minutes", default=120, show_default=True, help="The longest that a notebook may take."),
    click.option("--price", type=float, default=None, metavar="DOLLARS", help="Per hour. [default: asked of AWS]"),
    click.option("--max-dollars", type=float, default=None, metavar="DOLLARS", help="Start nothing that may cost more."),
)


def launch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of whatever starts machines."""
    return functools.reduce(lambda made, option: option(made), reversed(LAUNCH), command)


@click.command()
@click.argument("notebook")
@parameterised
@click.option("--out", required=True, metavar="PLACE", help="A folder or an s3:// address of its own for all that the job leaves.")
@click.option("--exit-with-parent", is_flag=True, hidden=True, help="Stop when standard input ends.")
@click.option("--scratch", default=None, hidden=True, help="A folder to remove if the job is stopped.")
def job(notebook: str, given: dict[str, Any], out: str, exit_with_parent: bool, scratch: str | None) -> None:
    """Run one notebook as clusters and clouds do.

    NOTEBOOK is a step, a path or an s3:// address. A job that has succeeded in that place is not run again.
    """
    from cloud import job as jobs
    from cloud.aws import remote_run

    try:
        if exit_with_parent:
            jobs.exit_with_parent()
        tell(remote_run.run(notebook, given, out))
    except KeyboardInterrupt:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
        raise


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NOTEBOOK...")
@click.option("--grid", "grids", multiple=True, metavar="NAME=VALUES", help="Sweep a parameter: --grid epochs='[5, 10]'.")
@click.option("--grid-file", type=click.Path(exists=True, dir_okay=False), help="A YAML file of such lists, by name.")
@parameterised
@click.option("--address", default=None, help="Of a Ray cluster; $RAY_ADDRESS, or this machine, unless given.")
@click.option("--cpus", default=1.0, show_default=True, help="CPUs for each job.")
@click.option("--gpus", default=0.0, show_default=True, help="GPUs for each job.")
@click.option("--runtime-env", type=click.Path(exists=True, dir_okay=False), help="A YAML file with Ray's runtime environment.")
@click.option("--out", default=None, metavar="PLACE", help="Where the jobs' folders and the summary go; build/sweeps/ unless given.")
@click.option("--on", "service", type=click.Choice(list(TYPES)), help="Run each job on a machine of its own in AWS, instead of Ray.")
@click.option("--at-once", default=4, show_default=True, type=click.IntRange(1, 100), help="With --on: machines at a time.")
@click.option("--bucket", default=None, metavar="NAME", help="With --on: the stack's output Bucket.")
@click.option("--instance-type", "instance_types", multiple=True, metavar="TYPE", help="With --on; as of `ec2 run` and `sagemaker run`.")
@REGION
@launch_options
@DRY_RUN
def sweep(names: tuple[str, ...], grids: tuple[str, ...], grid_file: str | None, given: dict[str, Any], **chosen: Any) -> None:
    """Run notebooks many times, on Ray or on machines in AWS.

    Each runs once for every combination of the grid's values. Jobs that have succeeded are not run again. The options from --at-once on
    are for --on.
    """
    from cloud.sweep import page, ray_sweep
    from mnistlib import files
    from mnistlib.notebook import runner

    notebooks = list(dict.fromkeys(map(runner.find, names)))
    grid = (parameters((), (), (grid_file,)) if grid_file else {}) | dict(map(ray_sweep.axis, grids))
    jobs = ray_sweep.combinations(notebooks, grid, given)
    place = files.root() / "build" / "sweeps" / "+".join(path.stem for path in notebooks)
    swept = _on_aws(jobs, place, **chosen) if chosen["service"] else _on_ray(jobs, place, **chosen)
    if swept is None:
        tell("Nothing was started.")
        return
    tell(f"Summary: {page.build(swept)}")
    for one, record in swept.failed:
        click.echo(f"Failed: {one.name}, {ray_sweep.described(one)}: {record.reason}", err=True)
    sys.exit(1 if swept.failed else 0)


def _on_ray(jobs: "list[Job]", place: Path, out: str | None, runtime_env: str | None, **chosen: Any) -> "Sweep":
    from cloud.aws import client, s3
    from cloud.sweep import page, ray_sweep

    about = click.get_current_context()
    of_aws = {"bucket", "instance_types", "region", "at_once", "dry_run", *LAUNCH_NAMES}
    for option in about.command.params:
        if option.name in of_aws and about.get_parameter_source(option.name) == click.core.ParameterSource.COMMANDLINE:
            raise SettingError(f"{option.opts[0]} is for machines in AWS; name their service with --on ec2 or --on sagemaker.")
    taken = {name: chosen[name] for name in ("address", "cpus", "gpus")} | {"runtime_env": ray_sweep.read_runtime_env(runtime_env)}
    if not (out or "").startswith(s3.SCHEME):
        return ray_sweep.run(jobs, folder(out) or place, ray_sweep.Options(**taken))
    with client.aws_errors():
        remote = s3.folder(client.session().client("s3"), out)
        swept = ray_sweep.run(jobs, place, ray_sweep.Options(**taken, remote=remote))
        remote.upload(page.NAME, page.build(swept))
        return swept


def _on_aws(jobs: "list[Job]", place: Path, service: str, out: str | None, dry_run: bool, at_once: int, **chosen: Any) -> "Sweep | None":
    from cloud import job
    from cloud.aws import client
    from cloud.aws.launch import LaunchOptions
    from cloud.sweep import on_aws, ray_sweep
    from mnistlib import files, formatting

    for name in ("address", "runtime_env"):
        if chosen.pop(name):
            raise SettingError(f"--{name.replace('_', '-')} is for Ray; leave it out, or leave out --on.")
    if not chosen["bucket"]:
        raise SettingError("Machines in AWS need --bucket, the stack's output Bucket.")
    if (out or "").startswith("s3://"):
        raise SettingError("With --on every run is kept in the bucket; --out takes the folder into which all are downloaded.")
    kinds = tuple(chosen.pop("instance_types")) or (TYPES[service],)
    asked = {name: chosen[name] for name in ("bucket", "region", *LAUNCH_NAMES)}
    module, target = importlib.import_module(f"cloud.aws.{service}"), (folder(out) or place).resolve()
    with client.aws_errors():
        plans = on_aws.plan(jobs, target, module, LaunchOptions(instance_types=kinds, **asked))
        costs = [plan.cost for plan in plans]
        whole = "cost not known" if None in costs else f"at most {formatting.dollars(sum(costs))}"
        tell(*map(str, plans[:1]), f"{formatting.counted(len(plans), 'run')}, {at_once} at once, {whole} in all.")
        if dry_run:
            return None
        try:
            on_aws.run(plans, files.writable(target), module, at_once)
        except (KeyboardInterrupt, MnistlibError):
            click.echo(on_aws.GO_ON.format(end=f"mnistlib {service} {'terminate' if service == 'ec2' else 'stop'} RUN"), err=True)
            raise
    return ray_sweep.Sweep(target, tuple(jobs), tuple(job.read_if_any(one, target / one.name) for one in jobs))


def aws_command(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option --region and a session there, and let it log to standard output; AWS's errors end it in one sentence."""

    @REGION
    @functools.wraps(command)
    def calling(region: str | None, **others: Any) -> Any:
        from cloud.aws import client

        logs.to_stdout()
        with client.aws_errors():
            return command(session=client.session(region), **others)

    return calling


def add_commands(group: click.Group, stop: str) -> None:
    """Add run, status and fetch to a group that is named like its service; `stop` names its own command that stops a run."""
    service = functools.partial(importlib.import_module, f"cloud.aws.{group.name}")

    def advice(session: "Session", name: str, bucket: str) -> dict[str, str]:
        start, end = f"mnistlib {group.name}", f"--region {session.region_name}"
        return {
            "follow": f"{start} status {name} --bucket {bucket} {end} --wait",
            "stop": f"{start} {stop} {name} {end}",
            "fetch": f"{start} fetch {name} --bucket {bucket} {end}",
        }

    @group.command()
    @click.argument("notebook")
    @click.option("--instance-type", "instance_types", default=[TYPES[group.name]], multiple=True, show_default=True, metavar="TYPE")
    @BUCKET
    @launch_options
    @WAIT
    @DRY_RUN
    @parameterised
    @aws_command
    def run(session: "Session", notebook: str, given: dict[str, Any], wait: bool, dry_run: bool, **chosen: Any) -> None:
        """Start one run.

        It leaves everything in the bucket, also if it fails or is stopped.
        """
        from cloud import job
        from cloud.aws import inventory
        from cloud.aws.launch import LaunchOptions
        from mnistlib.notebook import runner

        plan = service().plan(job.make(runner.find(notebook), given), LaunchOptions(region=session.region_name, **chosen))
        inventory.check_not_running(plan.session, plan.job.name)
        tell(str(plan))
        if dry_run:
            tell("Nothing was started.")
            return
        try:
            machine = service().launch(plan)
        except KeyboardInterrupt:
            click.echo("Stopped while the run was being started; `ec2 list` shows what runs all the same.", err=True)
            raise
        commands = advice(session, plan.job.name, plan.options.bucket)
        tell(f"Started {machine} for {plan.job.name}.")
        if group.name == "sagemaker":
            tell(f"CloudWatch: aws logs tail /aws/sagemaker/TrainingJobs --log-stream-name-prefix {machine} --follow")
        tell(f"Follow it:  {commands['follow']}", f"Stop it:    {commands['stop']}", f"Fetch it:   {commands['fetch']}")
        if wait:
            _wait(plan.folder, lambda: service().state(plan.session, plan.folder, machine), commands)

    @group.command()
    @NAME
    @BUCKET
    @WAIT
    @aws_command
    def status(session: "Session", name: str, bucket: str, wait: bool) -> None:
        """Show how far a run is.

        The exit code is 0 if it succeeded or goes on, else 1.
        """
        from cloud.aws import launch

        place = launch.run_folder(session, bucket, name)
        if wait:
            _wait(place, lambda: service().state(session, place), advice(session, name, bucket))
        state = service().state(session, place)
        tell(*launch.log_lines(place)[-TAIL:], f"{name}: {state.word}  {state.machine}")
        if state.ended:
            _exit(state)

    @group.command()
    @NAME
    @BUCKET
    @click.option("--into", default=None, metavar="FOLDER", help="[default: build/cloud/RUN]; reports makes it the evidence.")
    @aws_command
    def fetch(session: "Session", name: str, bucket: str, into: str | None) -> None:
        """Download what a run left."""
        from cloud.aws import launch
        from mnistlib import files

        target = folder(into) or files.root() / "build" / "cloud" / name
        launch.fetch(launch.run_folder(session, bucket, name), target, as_evidence=target == (files.root() / "reports").resolve())


def _wait(place: "Folder", look: "Callable[[], State]", commands: dict[str, str]) -> None:
    from cloud.aws import launch

    goes_on = f"The run goes on in the cloud. Follow it with `{commands['follow']}`, stop it with `{commands['stop']}`."
    try:
        state = launch.follow(place, look)
    except KeyboardInterrupt:  # ends the waiting, not the run
        click.echo(goes_on, err=True)
        sys.exit(130)
    except MnistlibError as error:
        raise type(error)(f"{error} {goes_on}") from None
    _exit(state)


def _exit(state: "State") -> None:
    if state.reason:
        click.echo(state.reason, err=True)
    sys.exit(state.word != "succeeded")


@click.group()
def ec2() -> None:
    """Run a notebook on an Amazon EC2 instance of its own."""


@click.group()
def sagemaker() -> None:
    """Run a notebook as an Amazon SageMaker training job."""


add_commands(ec2, "terminate")
ec2.commands["run"].params += [
    click.Option(["--subnet"], metavar="SUBNET", help="Where to start it. [default: the stack's subnets, else the default ones]"),
    click.Option(["--public-address/--no-public-address"], default=True, help="Without one, the subnet must reach the internet itself."),
    click.Option(["--key-name"], metavar="NAME", help="A key pair of your own, if you need SSH."),
]
add_commands(sagemaker, "stop")


@ec2.command()
@click.argument("name", metavar="[RUN]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every instance of this project in the region.")
@aws_command
def terminate(session: "Session", name: str | None, everything: bool) -> None:
    """Terminate the instance of a run; what was saved stays."""
    from cloud.aws import ec2 as service

    if (name is None) == (not everything):
        raise SettingError("Name the run whose instance is to be terminated, or give --all.")
    ended = service.terminate(session, name)
    whose = f"of the run {name!r}" if name else "of this project"
    tell(*[f"Terminating {one}." for one in ended] or [f"There is no instance {whose} here; `ec2 list --everywhere` lists all."])


@ec2.command(name="list")
@click.option("--everywhere", is_flag=True, help="In every region of the account.")
@aws_command
def list_all(session: "Session", everywhere: bool) -> None:
    """List everything of this project that costs money: instances, training jobs, notebook instances."""
    from cloud.aws import inventory

    found = list(inventory.running(session, everywhere))
    tell(*found or ["Nothing of this project is running."])
    if any(inventory.UNKNOWN in line for line in found):
        sys.exit(1)


@sagemaker.command()
@NAME
@aws_command
def stop(session: "Session", name: str) -> None:
    """Stop the training job of a run; what was saved stays."""
    from cloud.aws import sagemaker as service

    job = service.stop(session, name)
    tell(f"Stopping {job}." if job else f"{name} has no active training job.")
