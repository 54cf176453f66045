"""The types that fields of every kind are made of: names, quantities, addresses, paths, lists, references.

A type carries its bounds, its pattern and the sentence that people read when a value does not match; `provider.crd`
makes CEL rules of pattern and sentence. Rules that concern one kind only are beside that kind's fields.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "vch.dev"
VERSION = "v1alpha1"

Extra = dict[str, Any]

MESSAGE = "x-message"
"""Extra key: what is said to people about a value that does not match the pattern."""


class Model(BaseModel):
    """A part of an object. Fields of a later version are not minded."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


def rules(*pairs: tuple[str, str]) -> Extra:
    """CEL rules, each with the message for people."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


def said(message: str) -> Extra:
    """What people are told about a value that does not match the pattern."""
    return {MESSAGE: message}


AS_SET: Extra = {"x-kubernetes-list-type": "set"}
IN_ORDER: Extra = {
    "x-kubernetes-list-type": "atomic",
    **rules(("self.all(one, self.exists_one(other, one == other))", "an entry is there twice: remove one")),
}
"""A list whose order means something, and which has each entry once."""


def as_map(*keys: str) -> Extra:
    """A list of objects that are told apart by these fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def unchangeable(message: str) -> Extra:
    """The rule of a field that keeps its first value. (Rules of a field take the place of those of its type.)"""
    return rules(("self == oldSelf", message))


def _text(value: object) -> object:
    """A quantity may be written as a number: `cpu: 4`."""
    return str(value) if isinstance(value, int) else value


_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
_INT_OR_STRING: Extra = {
    "x-kubernetes-int-or-string": True,
    **said("a quantity is a number, perhaps with a unit: 500m, 4, 512Mi, 256Gi"),
}

# The validator comes last: of constraints after it, JSON schemas say nothing.
Quantity = Annotated[
    str, Field(pattern=_QUANTITY, max_length=32, json_schema_extra=_INT_OR_STRING), BeforeValidator(_text)
]
"""Zero or more; `provider.quantity` reads it."""

MORE_THAN_ZERO = (
    "!isQuantity(string(self)) || quantity(string(self)).isGreaterThan(quantity('0'))",
    "the quantity must be more than 0",
)

PositiveQuantity = Annotated[
    str,
    Field(pattern=_QUANTITY, max_length=32, json_schema_extra={**_INT_OR_STRING, **rules(MORE_THAN_ZERO)}),
    BeforeValidator(_text),
]

Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        json_schema_extra=said("the name of an object has lower case letters, digits, - and . only"),
    ),
]
"""The name of a Kubernetes object."""

OptionalName = Annotated[
    str,
    Field(
        max_length=253,
        pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$",
        json_schema_extra=said("the name of an object has lower case letters, digits, - and . only"),
    ),
]

_INVENTORY = said(
    "a name, an inventory path or a managed object ID of vSphere, without control characters and without spaces around"
)
InventoryName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        pattern=r"^[^[:space:]]([^[:cntrl:]]*[^[:space:]])?$",
        json_schema_extra=_INVENTORY,
    ),
]
"""Something in vSphere: name, inventory path or managed object ID."""

OptionalInventoryName = Annotated[
    str,
    Field(max_length=1024, pattern=r"^([^[:space:]]([^[:cntrl:]]*[^[:space:]])?)?$", json_schema_extra=_INVENTORY),
]

IS_IPV4 = ("isIP(self) && ip(self).family() == 4", "an IPv4 address such as 10.0.0.1")

IPv4 = Annotated[str, Field(max_length=45, json_schema_extra=rules(IS_IPV4))]

IPv6 = Annotated[
    str,
    Field(
        max_length=45,
        json_schema_extra=rules(("isIP(self) && ip(self).family() == 6", "an IPv6 address such as fd00:10::1")),
    ),
]

IP = Annotated[
    str, Field(max_length=45, json_schema_extra=rules(("isIP(self)", "an IP address such as 10.96.0.10 or fd96::a")))
]

HostPort = Annotated[
    str,
    Field(
        min_length=1,
        max_length=260,
        pattern=r"^([A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$",
        json_schema_extra=said("a host name or address with an optional port (host[:port]), without https:// and path"),
    ),
]

URL = Annotated[
    str,
    Field(
        max_length=1024,
        pattern=r"^https?://[^[:space:]/]+(/[^[:space:]]*)?$",
        json_schema_extra=said("a URL begins with http:// or https:// and names a host"),
    ),
]

OptionalURL = Annotated[
    str,
    Field(
        max_length=1024,
        pattern=r"^(https?://[^[:space:]/]+(/[^[:space:]]*)?)?$",
        json_schema_extra=said("a URL begins with http:// or https:// and names a host"),
    ),
]

ContainerImage = Annotated[
    str,
    Field(
        min_length=1,
        max_length=512,
        pattern=r"^[A-Za-z0-9][-A-Za-z0-9._/:@]*$",
        json_schema_extra=said("an image reference as in a Pod's container: registry/repository:tag or …@sha256:…"),
    ),
]

Key = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^[-._A-Za-z0-9]+$",
        json_schema_extra=said("a key of a ConfigMap or Secret has letters, digits, -, _ and . only"),
    ),
]

QualifiedName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=317,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        json_schema_extra=said(
            "a key is a name of at most 63 letters, digits, -, _ and ., perhaps after a domain: example.com/name"
        ),
    ),
]

LabelValue = Annotated[
    str,
    Field(
        max_length=63,
        pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        json_schema_extra=said(
            "a value has at most 63 letters, digits, -, _ and ., the first and last not being signs"
        ),
    ),
]

Text = Annotated[str, Field(max_length=1024)]
"""Free text that the operator writes."""


class SecretRef(Model):
    """A Secret in the operator's namespace."""

    name: Name = Field(description="Name of the Secret, in the operator's namespace.")


class CABundleRef(Model):
    """Where CA certificates are kept (PEM)."""

    kind: Literal["ConfigMap", "Secret"] = Field("ConfigMap", description="Kind of the object.")
    name: Name = Field(description="Name of the object, in the operator's namespace.")
    key: Key = Field("ca.crt", description="Key that holds the PEM bundle.")
