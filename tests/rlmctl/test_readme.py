"""The README's example for the openai SDK, as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.rlmctl.dev_process import ROOT, DevProcess


def test_openai_example_of_the_readme_prints_the_answer_and_the_usage(dev: DevProcess, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    info = dev.info()
    example = example.replace("http://127.0.0.1:PORT", info.endpoint).replace("KEY", str(info.api_key))
    text = "grass\n" * 2000 + "The magic number for amber-fox is 7261940.\n"
    (tmp_path / "a-very-long-file.txt").write_text(text)
    ran = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.stdout.startswith("7261940 CompletionUsage("), ran.stderr
