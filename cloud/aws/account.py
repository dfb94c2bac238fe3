"""What an account may start, asked before anything is sent: its plan and its quotas. Where AWS does not answer, nothing is refused."""

from typing import Any

from cloud.aws.client import QUOTAS, Session
from mnistlib import formatting
from mnistlib.errors import SettingError

REGION = "us-east-1"  # whose endpoint knows the plan of every account


def check_plan(session: Session, types: dict[str, dict[str, Any]]) -> None:
    """Raise SettingError for an instance type that the account's plan does not allow; `types` is EC2's description of each by name.

    AWS's Free plan allows only some types, and a dry run of EC2 does not find that.
    """
    refused = [name for name, about in types.items() if not about.get("FreeTierEligible")]
    if not refused:
        return
    try:
        if session.client("freetier", region_name=REGION).get_account_plan_state()["accountPlanType"] != "FREE":
            return
        eligible = [{"Name": "free-tier-eligible", "Values": ["true"]}]
        allowed = session.client("ec2").describe_instance_types(Filters=eligible)["InstanceTypes"]
    except Exception:  # not allowed to ask, or an older boto3 that cannot
        return
    allowed.sort(key=lambda one: (one["VCpuInfo"]["DefaultVCpus"], one["MemoryInfo"]["SizeInMiB"], one["InstanceType"]), reverse=True)
    names = [one["InstanceType"] for one in allowed]
    instead = f"give --instance-type {names[0]}, the largest of {formatting.listed(names)}, or " if names else ""
    raise SettingError(
        f"The account is on AWS's Free plan, which does not allow {formatting.listed(refused)}; {instead}upgrade the account's plan."
    )


def check_training_quota(session: Session, instance_type: str, spot: bool) -> None:
    """Raise SettingError where the account may not run one training job on an instance type, as new accounts may not on many."""
    wanted = f"{instance_type} for {'spot ' * spot}training job usage"
    try:
        listing = session.client("service-quotas").get_paginator("list_service_quotas")
        pages = listing.paginate(ServiceCode="sagemaker", MaxResults=100)  # of some thousands
        quota = next((one["Value"] for page in pages for one in page["Quotas"] if one["QuotaName"] == wanted), None)
    except Exception:  # not allowed to ask
        return
    if quota is not None and quota < 1:
        raise SettingError(
            f"The account's quota {wanted!r} is {formatting.number(quota)}; request more at {QUOTAS}, which may take days, "
            "or choose another --instance-type."
        )
