"""The runbook lists every code that a decoder may give."""

import re
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[2]
_RAISED = re.compile(r"""(?:ImageRejected|rejection_reply)\(\s*"([a-z-]+)\"""")


def test_the_runbook_lists_every_code_of_a_rejected_image() -> None:
    sources = [
        path.read_text()
        for room in ("science", "ingestor")
        for path in (_REPOSITORY / "services" / "astrolens" / room).rglob("*.py")
    ]
    raised = {code for source in sources for code in _RAISED.findall(source)}
    assert {"truncated", "no-object", "no-coverage", "error-page", "timeout"} <= raised
    runbook = (_REPOSITORY / "docs" / "runbook.md").read_text()
    section = runbook.split("## Why an image was rejected")[1].split("\n## ")[0]
    assert raised <= set(re.findall(r"`([a-z-]+)`", section))
