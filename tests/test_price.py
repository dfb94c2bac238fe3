"""What an instance costs, as AWS lists it; where AWS does not say, no price is better than a wrong one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import ANY

from cloud.aws import pricing

pytest_plugins = ["clouds", "stubs"]

SESSION = boto3.Session(region_name="eu-central-1")
TRAINING = {"instanceName": "ml.c5.xlarge", "regionCode": "eu-central-1", "component": "Training"}
INSTANCE = {
    "instanceType": "c7i.xlarge",
    "regionCode": "eu-central-1",
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
}


def product(*prices: tuple[str, str]) -> str:
    """Return an entry of AWS's list that has these prices, each with its unit."""
    dimensions = {str(place): {"unit": unit, "pricePerUnit": {"USD": price}} for place, (unit, price) in enumerate(prices)}
    return json.dumps({"product": {"sku": "X"}, "terms": {"OnDemand": {"X.Y": {"priceDimensions": dimensions}}, "Reserved": {}}})


def asked(service: str, wanted: dict[str, str]) -> dict[str, Any]:
    """Return what AWS is asked for a price."""
    return {"ServiceCode": service, "Filters": [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([product(("Hrs", "0.2350000000"))], 0.235),
        ([product(("Hrs", "0.235"), ("Quantity", "7")), product(("Hours", "0.235"))], 0.235),
        ([product(("Hrs", "0.0000000000"))], None),  # as AWS lists what is part of another price
        ([product(("Hrs", "0.235")), product(("Hrs", "0.3"))], None),
        ([json.dumps({"product": {}, "terms": {"Reserved": {}}})], None),
        (["no JSON"], None),
        ([], None),
    ],
    ids=["one", "the same twice", "nothing", "two", "reserved alone", "unreadable", "none"],
)
def test_a_price_is_the_one_that_aws_lists_or_none(stubbed, told, expected):
    stubbed("pricing").add_response("get_products", {"PriceList": told}, asked("AmazonSageMaker", TRAINING))
    assert pricing.sagemaker(SESSION, "ml.c5.xlarge") == expected
    stubbed("pricing").add_response("get_products", {"PriceList": told}, asked("AmazonEC2", INSTANCE))
    assert pricing.ec2(SESSION, "c7i.xlarge", spot=False) == expected


def test_a_price_in_another_currency_is_none(stubbed):
    body = json.loads(product(("Hrs", "1")))
    body["terms"]["OnDemand"]["X.Y"]["priceDimensions"]["0"]["pricePerUnit"] = {"CNY": "9"}
    stubbed("pricing").add_response("get_products", {"PriceList": [json.dumps(body)]})
    assert pricing.sagemaker(SESSION, "ml.c5.xlarge") is None


def test_a_refused_price_is_none(stubbed):
    stubbed("pricing").add_client_error("get_products", "AccessDeniedException", "not authorized")
    assert pricing.sagemaker(SESSION, "ml.c5.xlarge") is None
    stubbed("ec2").add_client_error("describe_spot_price_history", "UnauthorizedOperation", "not authorized")
    assert pricing.ec2(SESSION, "c7i.xlarge", spot=True) is None


def test_a_spot_price_is_the_highest_there_is_now(stubbed):
    now = datetime.now(UTC)
    history = [
        {"SpotPrice": text, "AvailabilityZone": zone, "Timestamp": now} for zone, text in (("a", "0.09"), ("b", "0.0812"), ("c", "0.1"))
    ]
    wanted = {"InstanceTypes": ["c7i.xlarge"], "ProductDescriptions": ["Linux/UNIX"], "StartTime": ANY}
    stubbed("ec2").add_response("describe_spot_price_history", {"SpotPriceHistory": history}, wanted)
    assert pricing.ec2(SESSION, "c7i.xlarge", spot=True) == 0.1
    stubbed("ec2").add_response("describe_spot_price_history", {"SpotPriceHistory": []}, wanted)
    assert pricing.ec2(SESSION, "c7i.xlarge", spot=True) is None
