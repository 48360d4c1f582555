"""docs/cost-model.md: its examples run, and it tells of every head and every function."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

from optimizer.plan import HEADS

PAGE = Path(__file__).parents[3] / "docs" / "cost-model.md"
TEXT = PAGE.read_text(encoding="utf-8")
FENCE = re.compile(r"^```.*$", flags=re.MULTILINE)


def test_the_examples_of_the_page_come_out_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Fences become blank lines, so that an expected output ends where its block does and line numbers stay."""
    page = doctest.DocTestParser().get_doctest(FENCE.sub("", TEXT), {}, PAGE.name, str(PAGE), 0)
    result = doctest.DocTestRunner().run(page)
    assert result.attempted >= 20
    assert result.failed == 0, capsys.readouterr().out


@pytest.mark.parametrize("head", HEADS)
def test_the_page_has_a_section_for_each_head_with_all_its_functions(head: str) -> None:
    (section,) = re.findall(rf"^## `{head}`$(.*?)(?=^## )", TEXT, flags=re.MULTILINE | re.DOTALL)
    missing = [name for name in importlib.import_module(f"optimizer.costs.{head}").__all__ if name not in section]
    assert missing == []
    assert ">>>" in section
    assert all(f"**{word}**" in section for word in ("Units", "In the objective", "Reported constant", "Fields", "Not covered"))
