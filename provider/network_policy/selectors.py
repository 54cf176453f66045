"""Label selectors (`LabelSelector` of the API: labels and expressions, all of which must hold). Pure.

A selector is a value, so that equal ones of several policies are looked up once. An empty one selects everything; that
a selector is absent means something else in each field, and is the caller's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Requirement:
    """One expression; `matchLabels` are expressions with `In` and one value."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """`NotIn` holds for what lacks the label (k8s.io/apimachinery pkg/labels, Requirement.Matches)."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
        raise ValueError(f"matchExpressions: the operator {self.operator!r} is not known")


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements together."""

    requirements: frozenset[Requirement] = frozenset()

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> "Selector":
        """Raises ValueError for an operator that is not known."""
        labels = value.get("matchLabels") or {}
        found = {Requirement(key, "In", frozenset([wanted])) for key, wanted in labels.items()}
        for expression in value.get("matchExpressions") or ():
            values = frozenset(expression.get("values") or ())
            found.add(Requirement(expression["key"], expression["operator"], values))
        for requirement in found:
            requirement.holds({})
        return cls(frozenset(found))

    def selects(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.holds(labels) for requirement in self.requirements)


EVERYTHING = Selector()
