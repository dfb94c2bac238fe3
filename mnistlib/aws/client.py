"""Amazon's services as this project asks them: clients, and a sentence for whatever they refuse."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from mnistlib.errors import MnistlibError, SettingError

INSTALL = "This needs boto3, which is not installed here: `python -m pip install 'mnistlib[cloud]'`, in a clone `-e '.[cloud]'` instead."
QUOTAS = "https://console.aws.amazon.com/servicequotas/home"
GONE = "`aws sso login` or `aws configure` renews them, $AWS_PROFILE names others."

# What AWS answers, by what a user can do about it.
EXPIRED = (
    "400",  # all that a HEAD request, whose answer has no words, is told of a token that has expired
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
)
DENIED = ("403", "AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
BUSY = (
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttling",
    "ThrottledException",
    "ThrottlingException",
    "TooManyRequestsException",
)
QUOTA = (
    "ResourceLimitExceeded",
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "LimitExceededException",
)
FULL = ("InsufficientInstanceCapacity", "InsufficientCapacity", "CapacityError", "SpotMaxPriceTooLow", "Unsupported")


class CloudError(MnistlibError):
    """A cloud did not do what it was asked."""

    code = 1


def client(service: str, region: str | None = None) -> Any:
    """Return a client of one of Amazon's services, which tries again on its own where it is told to slow down.

    Raises SettingError where boto3 is not installed or no region is known.
    """
    if importlib.util.find_spec("boto3") is None:
        raise SettingError(INSTALL)
    import boto3
    from botocore.config import Config
    from botocore.exceptions import NoRegionError, ProfileNotFound

    try:
        return boto3.client(service, region_name=region, config=Config(retries={"mode": "standard", "max_attempts": 5}))
    except NoRegionError:
        raise SettingError("No region is known; give --region, such as eu-central-1, or set $AWS_DEFAULT_REGION.") from None
    except ProfileNotFound as error:
        raise SettingError(f"{error}; $AWS_PROFILE names a profile of ~/.aws/config.") from None


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn what AWS refuses in here into a sentence that says what to do about it."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise SettingError(INSTALL) from None
    try:
        yield
    except ClientError as error:
        raise CloudError(sentence(code(error), message(error), error.operation_name)) from None
    except BotoCoreError as error:
        raise CloudError(_unasked(error)) from None


def code(error: Any) -> str:
    """Return the code of a botocore ClientError."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message(error: Any) -> str:
    """Return the words of a botocore ClientError, without a full stop."""
    return str(error.response.get("Error", {}).get("Message", "") or "no reason given").strip().rstrip(".")


def sentence(code: str, message: str, operation: str) -> str:
    """Return what an answer of AWS means and what to do about it."""
    if code in EXPIRED:
        return f"AWS does not take these credentials, or no longer ({message}); {GONE}"
    if code in DENIED:
        return f"These credentials may not do {operation} ({message}); ask whoever runs the account, or take a profile that may."
    if code in BUSY:
        return f"AWS is asked too often and did not do {operation} ({message}); try again in a minute."
    if code in QUOTA:
        return f"The account's quota does not allow it ({message}); ask for more at {QUOTAS}, or take another instance type."
    if code in FULL:
        return f"AWS has no such machine free now ({message}); try another instance type, another region, or with or without --spot."
    return f"AWS did not do {operation} ({code}: {message})."


def _unasked(error: Any) -> str:
    """Return the sentence for a request that never was answered."""
    name, words = type(error).__name__, str(error).rstrip(".")
    if name == "NoCredentialsError":
        return f"There are no AWS credentials here; {GONE}"
    if any(word in name for word in ("Credential", "SSO", "Token", "Login")):  # there are a dozen of them, and new ones come
        return f"The AWS credentials cannot be had ({words}); {GONE}"
    return f"AWS cannot be reached or asked ({words})."
