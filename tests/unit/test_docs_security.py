"""docs/security.md names tests that exist, and its table leads to sections that exist."""

import re

from tests.deploy_files import ROOT

PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/.]+)`", PAGE))
    assert len(named) > 8
    for path in named:
        assert (ROOT / path).exists(), path


def test_the_table_leads_to_every_section() -> None:
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"(?m)^## (.+)$", PAGE)
    }
    linked = set(re.findall(r"\]\(#([a-z0-9-]+)\)", PAGE))
    assert linked == anchors


def test_every_threat_says_what_is_not_defended() -> None:
    for section in PAGE.split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        assert "Not defended" in text or title in {"Values that cannot be", "Another site in the same browser"}, title
