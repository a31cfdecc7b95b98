"""The operator's metrics are those that the documentation lists."""

from __future__ import annotations

import re

from rlm_operator.metrics import Metrics
from tests.operator.specs import REPOSITORY


def test_the_documentation_lists_every_metric_of_the_operator_with_its_type_and_labels_and_no_other() -> None:
    text = (REPOSITORY / "docs" / "observability.md").read_text()
    rows = re.findall(r"^\| `(rlm_operator_\w+)` \| (\w+) \|", text, re.MULTILINE)
    families = list(Metrics().registry.collect())
    assert set(rows) == {(family.name + "_total" * (family.type == "counter"), family.type) for family in families}
