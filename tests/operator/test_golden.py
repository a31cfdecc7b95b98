"""The samples render to exactly the manifests in golden/, as a reader of a pull request would see them change.

After a change that is meant:
`rlmctl render -f config/samples/NAME.yaml -n team --inference-image registry.test/inference:1
--sandbox-image registry.test/sandbox:1 --sandbox-scientific-image registry.test/sandbox-scientific:1
> tests/operator/golden/NAME.yaml`
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rlmctl.render import render_documents, to_yaml
from tests.operator.specs import IMAGES, SAMPLES, load

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_renders_to_its_golden_manifests(sample: Path) -> None:
    assert render_documents([sample], IMAGES, "team") == load(GOLDEN / sample.name)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_what_is_printed_is_what_is_compared(sample: Path) -> None:
    assert to_yaml(render_documents([sample], IMAGES, "team")) == (GOLDEN / sample.name).read_text()
