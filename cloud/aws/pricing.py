"""What an instance costs per hour, as AWS lists it; None where AWS does not say."""

import json
from datetime import UTC, datetime

from cloud.aws.client import Session

REGION = "us-east-1"  # whose endpoint lists the prices of all regions
ON_DEMAND = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}


def ec2(session: Session, instance_type: str, spot: bool) -> float | None:
    """Return US dollars per hour of an EC2 instance: on demand, or the highest current spot price in the region."""
    if not spot:
        return _listed(session, "AmazonEC2", {"instanceType": instance_type, "regionCode": session.region_name, **ON_DEMAND})
    try:
        history = session.client("ec2").describe_spot_price_history(
            InstanceTypes=[instance_type], ProductDescriptions=["Linux/UNIX"], StartTime=datetime.now(UTC)
        )
    except Exception:  # a run must not fail for want of a price
        return None
    return max((float(one["SpotPrice"]) for one in history["SpotPriceHistory"]), default=None)


def sagemaker(session: Session, instance_type: str, use: str = "Training") -> float | None:
    """Return US dollars per hour of a SageMaker instance on demand for a use, which is the most that managed spot training bills."""
    return _listed(session, "AmazonSageMaker", {"instanceName": instance_type, "regionCode": session.region_name, "component": use})


def _listed(session: Session, service: str, wanted: dict[str, str]) -> float | None:
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    try:
        found = session.client("pricing", region_name=REGION).get_products(ServiceCode=service, Filters=filters)
        offers = [offer for text in found["PriceList"] for offer in json.loads(text)["terms"].get("OnDemand", {}).values()]
        listed = [one for offer in offers for one in offer["priceDimensions"].values() if one["unit"] in ("Hrs", "Hours", "Hour")]
        prices = {float(one["pricePerUnit"].get("USD", 0)) for one in listed} - {0.0}  # 0: included in another price
    except Exception:  # a run must not fail for want of a price
        return None
    return prices.pop() if len(prices) == 1 else None
