"""Links of the documents lead somewhere: files and headings that exist, pages over https."""

import re
from pathlib import Path
from urllib.parse import urlparse

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Pictures are taken by `make screenshots`, which needs a browser.
SHOTS = set(
    re.findall(r'"([a-z-]+)(?:\.webp)?"', (ROOT / "tests/browser/screenshots.py").read_text())
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def links(page: Path) -> list[str]:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [one or other for one, other in LINK.findall(prose)]


def headings(page: Path) -> set[str]:
    """Anchors as GitHub makes them: lower case, spaces to hyphens, other signs dropped."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in links(page):
        address = urlparse(link)
        if address.scheme:
            assert address.scheme == "https", link
            assert address.netloc.count("."), link
            continue
        target = (page.parent / address.path).resolve() if address.path else page
        assert target.exists() or target.stem in SHOTS, link
        if address.fragment and target.suffix == ".md":
            assert address.fragment in headings(target), link


def test_links_were_found() -> None:
    assert sum(len(links(page)) for page in PAGES) > 100
