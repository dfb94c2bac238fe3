"""What AWS refuses, said in a sentence; and the scripts that its machines run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from clouds import Cloud

from mnistlib.aws import client
from mnistlib.aws.runs import SCRIPTS
from mnistlib.errors import SettingError

pytest_plugins = ["clouds", "stubs"]


def asked(operation: str = "create_training_job", service: str = "sagemaker", **parameters: object) -> str:
    """Return the sentence that a call ends in."""
    with pytest.raises(client.CloudError) as caught, client.refusals():
        getattr(client.client(service), operation)(**parameters)
    assert caught.value.code == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ExpiredTokenException", "AWS does not take these credentials, or no longer (the words); `aws sso login`"),
        ("UnrecognizedClientException", "AWS does not take these credentials"),
        ("InvalidAccessKeyId", "AWS does not take these credentials"),
        ("400", "AWS does not take these credentials"),
        ("AccessDeniedException", "These credentials may not do StopTrainingJob (the words); ask whoever runs the account"),
        ("403", "These credentials may not do StopTrainingJob"),
        ("ThrottlingException", "AWS is asked too often and did not do StopTrainingJob (the words); try again in a minute."),
        ("ResourceLimitExceeded", f"The account's quota does not allow it (the words); ask for more at {client.QUOTAS}"),
        ("InsufficientInstanceCapacity", "AWS has no such machine free now (the words); try another instance type, another region"),
        ("ValidationException", "AWS did not do StopTrainingJob (ValidationException: the words)."),
    ],
)
def test_what_aws_refuses_is_told_with_what_to_do_about_it(stubbed, code, said):
    stubbed("sagemaker").add_client_error("stop_training_job", code, "the words.")
    assert asked("stop_training_job", TrainingJobName="x").startswith(said)


def test_an_answer_without_words_still_makes_a_sentence(stubbed):
    stubbed("sagemaker").add_client_error("stop_training_job", "Odd", "")
    assert asked("stop_training_job", TrainingJobName="x") == "AWS did not do StopTrainingJob (Odd: no reason given)."


def test_missing_credentials_are_told_apart_from_broken_ones(cloud: Cloud, monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "cannot be had (Partial credentials found in env" in asked("list_buckets", "s3")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    assert asked("list_buckets", "s3").startswith("There are no AWS credentials here; `aws sso login` or `aws configure`")


def test_no_answer_at_all_is_a_sentence(cloud: Cloud, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    said = asked("list_buckets", "s3")
    assert said.startswith("AWS cannot be reached or asked (") and "127.0.0.1:9" in said and "\n" not in said


def test_being_told_to_slow_down_is_no_failure_yet(cloud: Cloud, monkeypatch):
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    s3, refused = client.client("s3"), []

    class Raw:
        """The body of an answer."""

        @staticmethod
        def stream():
            yield b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"

    def refuse(request: object, **_: object) -> AWSResponse | None:
        if len(refused) < 3:
            refused.append(request)
            return AWSResponse(request.url, 503, {}, Raw)
        return None

    s3.meta.events.register("before-send.s3", refuse)
    assert s3.list_buckets()["Buckets"] == [] and len(refused) == 3


def test_without_boto3_a_sentence_says_how_to_have_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"python -m pip install 'mnistlib\[cloud\]'"):
        client.client("s3")


def test_a_missing_region_and_an_unknown_profile_are_named(cloud: Cloud, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(SettingError, match="No region is known; give --region"):
        client.client("sagemaker")
    assert client.client("sagemaker", "eu-north-1").meta.region_name == "eu-north-1"
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(SettingError, match=r"\(nobody\) could not be found; \$AWS_PROFILE"):
        client.client("sagemaker")


def test_the_scripts_hold_to_what_shellcheck_knows():
    scripts = sorted(SCRIPTS.glob("*.sh"))
    assert {path.name for path in scripts} >= {"boot.sh", "entry.sh", "run.sh", "user_data.sh"}
    checker = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([checker, "-s", "bash", *scripts], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
