"""Sessions with Amazon Web Services, and its errors as sentences that say what to do."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mnistlib.errors import MnistlibError, SettingError

if TYPE_CHECKING:
    from boto3 import Session
else:
    Session = Any  # boto3 is an optional dependency

INSTALL = "AWS commands need boto3, which is not installed: run `python -m pip install -e '.[cloud]'` in a clone of the project."
RENEW = "`aws sso login` or `aws configure` renews them; $AWS_PROFILE selects others."
QUOTAS = "https://console.aws.amazon.com/servicequotas/home"
ADVICE = Path(__file__).with_name("advice.yaml")
_watch: ContextVar[Callable[[Session], None] | None] = ContextVar("watch", default=None)


class CloudError(MnistlibError):
    """A request to AWS failed."""

    code = 1


def session(region: str | None = None) -> Session:
    """Return a session in a region, by default that of AWS's settings; its clients retry when AWS throttles them.

    $AWS_REGION, which the AWS CLI takes before all others and boto3 overlooks, is such a setting.
    """
    import boto3
    import botocore.session
    from botocore.config import Config

    core = botocore.session.get_session()
    core.set_default_client_config(Config(retries={"mode": "standard", "max_attempts": 5}))
    made = boto3.Session(botocore_session=core, region_name=region or os.environ.get("AWS_REGION"))
    if watch := _watch.get():
        watch(made)
    return made


@contextlib.contextmanager
def watched(watch: Callable[[Session], None]) -> Iterator[None]:
    """Hand every session that is made in here to `watch` first."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


@contextlib.contextmanager
def aws_errors() -> Iterator[None]:
    """Turn what boto3 raises in here into a CloudError, or a SettingError, with one sentence."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError, ProfileNotFound
    except ImportError:
        raise SettingError(INSTALL) from None
    try:
        yield
    except NoRegionError:
        raise SettingError("No AWS region is set; give --region, such as eu-central-1, or set $AWS_DEFAULT_REGION.") from None
    except ProfileNotFound as error:
        raise SettingError(f"{error}; $AWS_PROFILE must name a profile of ~/.aws/config.") from None
    except ClientError as error:
        table = yaml.safe_load(ADVICE.read_text(encoding="utf-8"))
        reason = str(error.response.get("Error", {}).get("Message", "") or "no reason given").strip().rstrip(".")
        known = (one["advice"] for one in table if code(error) in one["codes"] and one.get("message", "").lower() in reason.lower())
        advice = next(known, "AWS refused {operation} ({code}: {message}).")
        words = {"code": code(error), "message": reason, "operation": error.operation_name, "renew": RENEW, "quotas": QUOTAS}
        raise CloudError(advice.format(**words)) from None
    except NoCredentialsError:
        raise CloudError(f"No AWS credentials were found; {RENEW}") from None
    except BotoCoreError as error:
        kind, words = type(error).__name__, str(error).rstrip(".")
        if any(word in kind for word in ("Credential", "SSO", "Token", "Login")):  # botocore has a dozen such errors
            raise CloudError(f"The AWS credentials could not be loaded ({words}); {RENEW}") from None
        raise CloudError(f"AWS could not be reached ({words}).") from None


def code(error: Any) -> str:
    """Return the code of a botocore ClientError."""
    return str(error.response.get("Error", {}).get("Code", ""))
