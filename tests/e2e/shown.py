"""What docs/integrations.md shows, part by part."""

import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "integrations.md").read_text()


def shown(title: str, language: str = "python") -> str:
    """The one block of code of a part."""
    part = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert part is not None
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", part[1], flags=re.MULTILINE | re.DOTALL)
    return str(block)


def every_block() -> list[str]:
    """All of them."""
    return re.findall(r"^```\w+\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
