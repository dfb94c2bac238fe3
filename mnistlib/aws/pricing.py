"""What an hour of a machine costs, as AWS says; a price that it does not tell is not guessed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from mnistlib.aws import client

HOME = "us-east-1"  # where AWS answers for the prices of all regions
PLAIN = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}


def ec2(instance_type: str, region: str, spot: bool) -> float | None:
    """Return US dollars an hour of an EC2 instance: on demand, or the most that spot costs there now; None if AWS does not tell."""
    if not spot:
        return _listed("AmazonEC2", {"instanceType": instance_type, "regionCode": region, **PLAIN})
    try:
        told = client.client("ec2", region).describe_spot_price_history(
            InstanceTypes=[instance_type], ProductDescriptions=["Linux/UNIX"], StartTime=datetime.now(UTC)
        )
    except Exception:  # a price is not worth failing for
        return None
    return max((float(one["SpotPrice"]) for one in told["SpotPriceHistory"]), default=None)


def sagemaker(instance_type: str, region: str) -> float | None:
    """Return US dollars an hour of a SageMaker training instance on demand, the most that managed spot bills; None if AWS does not tell."""
    return _listed("AmazonSageMaker", {"instanceName": instance_type, "regionCode": region, "component": "Training"})


def _listed(service: str, wanted: dict[str, str]) -> float | None:
    """Return the one price that AWS lists for a service, None where it lists none or several, or may not be asked."""
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    try:
        told = client.client("pricing", HOME).get_products(ServiceCode=service, Filters=filters)
        found = {price for text in told["PriceList"] for price in _hourly(json.loads(text))}
    except Exception:  # a price is not worth failing for
        return None
    return found.pop() if len(found) == 1 else None


def _hourly(product: dict[str, Any]) -> list[float]:
    """Return the prices an hour on demand in an entry of AWS's list."""
    offers = product.get("terms", {}).get("OnDemand", {}).values()
    prices = [one for offer in offers for one in offer["priceDimensions"].values() if one.get("unit") in ("Hrs", "Hours", "Hour")]
    return [float(one["pricePerUnit"]["USD"]) for one in prices if float(one["pricePerUnit"].get("USD", 0)) > 0]
