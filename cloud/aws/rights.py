"""What a call to AWS needs of IAM, as actions and the resources that they act on, and whether a policy allows it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from cloud.aws.client import Session

TABLE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("rights.yaml").read_text(encoding="utf-8"))
Call = tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]  # action, ARNs ("*": it has none; empty: not known), what conditions ask of


def recorder(account: str, note: Callable[[Call], None]) -> Callable[[Session], None]:
    """Return what has all that the calls of a session need noted, before they are sent; `client.watched` takes it."""

    def watch(session: Session) -> None:
        def answer(params: Mapping[str, Any], model: Any, **_: Any) -> None:
            for call in calls(model.service_model.signing_name, model.name, params, session.region_name, account):
                note(call)

        session.events.register("provide-client-params", answer)

    return watch


def calls(service: str, operation: str, params: Mapping[str, Any], region: str, account: str) -> list[Call]:
    """Return what an operation with its parameters needs: its own action, and those that AWS demands beside it."""
    action, found = f"{service}:{operation}", list(_leaves(params))
    action = TABLE["actions"].get(action, action)
    where = {"region": region, "account": account}
    named = TABLE["resources"].get(service, {})
    arns = tuple(dict.fromkeys(named[name].format(value, **where) for name, value in found if name in named))
    if service == "s3" and "Bucket" in params:
        arns = (f"arn:aws:s3:::{params['Bucket']}" + (f"/{params['Key']}" if "Key" in params else "/*" if "Delete" in params else ""),)
    if any(fnmatchcase(action, pattern) for pattern in TABLE["without_resources"]):
        arns = ("*",)
    tags = {f"aws:RequestTag/{one['Key']}": one["Value"] for one in _tags(params)}
    context = tuple(sorted(({"s3:prefix": params["Prefix"]} if "Prefix" in params else tags).items()))
    made = [(action, arns, context)]
    for implied in TABLE["implied"].get(action, ()):
        if implied == "iam:PassRole":
            made.append((implied, tuple(value for name, value in found if name == "RoleArn"), ()))
        elif implied == "ec2:CreateTags":
            made.append((implied, tuple(arn for arn in arns if arn.endswith("/*")), (("ec2:CreateAction", operation),)))
        else:
            made.append((implied, arns, context))
    return made


def allowed(document: Mapping[str, Any], call: Call) -> bool:
    """Say whether a policy's document allows a call on all of its resources; conditions on what the call does not say count as met."""
    action, arns, context = call
    return all(any(_allows(one, action, arn, dict(context)) for one in document["Statement"]) for arn in arns or (None,))


def _allows(statement: Mapping[str, Any], action: str, arn: str | None, context: Mapping[str, str]) -> bool:
    if statement["Effect"] != "Allow" or action not in _listed(statement["Action"]):
        return False
    if arn is not None and not any(_same(arn, pattern) for pattern in _listed(statement["Resource"])):
        return False
    asked = [(key, _listed(values)) for test in statement.get("Condition", {}).values() for key, values in test.items()]
    return all(any(fnmatchcase(context[key], value) for value in values) for key, values in asked if key in context)


def _same(arn: str, pattern: str) -> bool:
    """Say whether a pattern covers an ARN, whose own "*" stands for what is not known, such as a stack's id."""
    return fnmatchcase(arn, pattern) or (arn != "*" and fnmatchcase(pattern, arn))


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts in a request, each with the name that it stands under."""
    for key, inner in value.items() if isinstance(value, Mapping) else [(name, one) for one in value]:
        if isinstance(inner, Mapping | list | tuple):
            yield from _leaves(inner, key)
        elif isinstance(inner, str):
            yield key, inner


def _tags(params: Mapping[str, Any]) -> Sequence[Mapping[str, str]]:
    specified = params.get("TagSpecifications") or [{"Tags": params.get("Tags", ())}]
    return specified[0]["Tags"]
