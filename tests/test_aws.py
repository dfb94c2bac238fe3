"""AWS's errors as sentences, and the scripts that its machines run."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from clouds import Cloud

from cloud.aws import client
from cloud.aws.stack import SCRIPTS
from mnistlib.errors import SettingError

pytest_plugins = ["clouds", "stubs"]


def refused(operation: str, service: str, **parameters: object) -> str:
    """Return the sentence that a call ends in."""
    with pytest.raises(client.CloudError) as caught, client.aws_errors():
        getattr(client.session().client(service), operation)(**parameters)
    assert caught.value.code == 1 and "\n" not in str(caught.value)
    return str(caught.value)


ERRORS = {
    "ExpiredTokenException": "aws sso login",
    "UnrecognizedClientException": "aws sso login",
    "400": "aws sso login",
    "AccessDeniedException": "administrator",
    "403": "administrator",
    "ThrottlingException": "throttled",
    "ResourceLimitExceeded": client.QUOTAS,
    "InsufficientInstanceCapacity": "no capacity",
    "ValidationException": "ValidationException: so it is",
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": "create-service-linked-role",
    "VPCIdNotSpecified": "create-default-vpc",
    "InvalidParameterCombination": "InvalidParameterCombination: so it is",
}


def test_an_error_of_aws_says_what_to_do(stubbed):
    for code, word in ERRORS.items():
        stubbed("sagemaker").add_client_error("stop_training_job", code, "so it is.")
        said = refused("stop_training_job", "sagemaker", TrainingJobName="x")
        assert word in said and "so it is" in said


def test_a_type_outside_the_free_plan_is_refused_in_words_that_help(stubbed):
    words = "The specified instance type is not eligible for Free Tier."
    stubbed("ec2").add_client_error("run_instances", "InvalidParameterCombination", words)
    assert "m7i-flex.large" in refused("run_instances", "ec2", MinCount=1, MaxCount=1)


def test_an_error_without_a_message_still_makes_a_sentence(stubbed):
    stubbed("sagemaker").add_client_error("stop_training_job", "Odd", "")
    assert "Odd: no reason given" in refused("stop_training_job", "sagemaker", TrainingJobName="x")


def test_missing_and_incomplete_credentials_are_named(cloud: Cloud, monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "Partial credentials" in refused("list_buckets", "s3")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "No AWS credentials" in refused("list_buckets", "s3")


def test_no_answer_at_all_is_one_sentence(cloud: Cloud, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    assert "127.0.0.1:9" in refused("list_buckets", "s3")


def test_a_request_to_slow_down_is_retried(cloud: Cloud, monkeypatch):
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    s3, refusals = client.session().client("s3"), []

    class Raw:
        """The body of an answer."""

        @staticmethod
        def stream():
            yield b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"

    def refuse(request: object, **_: object) -> AWSResponse | None:
        if len(refusals) < 3:
            refusals.append(request)
            return AWSResponse(request.url, 503, {}, Raw)
        return None

    s3.meta.events.register("before-send.s3", refuse)
    assert s3.list_buckets()["Buckets"] == [] and len(refusals) == 3


def test_without_boto3_the_advice_installs_from_the_clone(monkeypatch, ask):
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    code, _, error = ask("ec2", "list")
    assert code == 2 and "pip install -e '.[cloud]'" in error


def test_a_missing_region_and_an_unknown_profile_are_named(cloud: Cloud, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(SettingError, match="--region"), client.aws_errors():
        client.session().client("sagemaker")
    assert client.session("eu-north-1").client("sagemaker").meta.region_name == "eu-north-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert client.session().region_name == "eu-west-3", "the AWS CLI would work in another region"
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SettingError, match="nobody"), client.aws_errors():
        client.session().client("sagemaker")


def test_a_command_leaves_the_environment_and_the_default_session_alone(cloud: Cloud, ask, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert ask("ec2", "list", "--region", "eu-north-1")[0] == 0
    assert "AWS_DEFAULT_REGION" not in os.environ and boto3.DEFAULT_SESSION is None


def installing(folder: Path, gpu: str, python: str) -> tuple[int, str]:
    """Run run.sh install with a stand-in for Python, and return its exit code and all that was printed."""
    with tarfile.open(folder / "project.tar.gz", "w:gz") as archive:
        about = tarfile.TarInfo("requirements.txt")
        about.size = len(REQUIREMENTS)
        archive.addfile(about, io.BytesIO(REQUIREMENTS))
    (folder / "library.whl").touch()
    for name in ("python3.13", "nvidia-smi"):
        (folder / name).write_text(python if name != "nvidia-smi" else "#!/bin/bash\necho 535.183.01\n")
        (folder / name).chmod(0o755)
    settings = {"PATH": f"{folder}:/usr/bin:/bin", "INPUT": str(folder), "MNISTLIB_HOME": str(folder / "home"), "GPU": gpu}
    done = subprocess.run(["bash", SCRIPTS / "run.sh", "install"], env=settings, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


REQUIREMENTS = b"numpy==2.1.0 # arrays\ntorch==2.15.0           # nets\n"
# A Python with torch 2.7.1, which cannot use a GPU; it says what pip installs, and makes environments with itself.
OLD_TORCH = """#!/bin/bash
case "$*" in
*torch.__version__.startswith*) [ -z "$3" ] || [ "$0" != "${0%/venv/*}" ] ;;
*is_available*) exit 1 ;;
*"for CUDA"*) echo 2.7.1 for CUDA 13.0 ;;
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip "*) echo "$*" ;;
esac
"""


def test_a_gpu_that_torch_cannot_use_ends_the_run_with_the_versions(tmp_path):
    code, said = installing(tmp_path, "yes", OLD_TORCH)
    assert code == 1 and "driver 535.183.01, torch 2.7.1 for CUDA 13.0" in said.splitlines()[-1]
    code, said = installing(tmp_path, "yes", OLD_TORCH.replace("is_available*) exit 1", "is_available*) exit 0"))
    assert code == 0 and "torch==" not in said, "a torch that fits the driver was replaced"


def test_without_a_gpu_the_torch_of_the_reports_is_installed(tmp_path):
    code, said = installing(tmp_path, "no", OLD_TORCH)
    assert code == 0 and "torch==2.15.0 --index-url https://download.pytorch.org/whl/cpu" in said
    assert (tmp_path / "home" / "python").read_text().strip() == f"{tmp_path}/home/venv/bin/python"
    assert (tmp_path / "home" / "constraints.txt").read_text().startswith("numpy==2.1.0")


def test_the_scripts_pass_shellcheck():
    scripts = sorted(SCRIPTS.glob("*.sh"))
    assert len(scripts) == 6
    done = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), "-s", "bash", *scripts], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")
