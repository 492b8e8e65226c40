"""Every link of the documentation leads to a file and an anchor that exist; outside ones are https."""

import re
import urllib.parse

import pytest
from paths import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "weights/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCED = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
# An image in a link's text is a link of its own.
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6} +(.*?) *#* *$", re.M)


def prose(text):
    """A page without its blocks of code, and without pieces of code, in which brackets mean something else."""
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "code", FENCED.sub("", text))


def anchors(text):
    """What GitHub calls the headings of a page.

    Of a heading's text without its marks letters, digits, `_`, `-` and blanks are left, in lower case, blanks as `-`;
    of several the same, the second gets "-1" and so on.
    """
    seen = {}
    for heading in HEADING.findall(FENCED.sub("", text)):
        shown = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", heading)
        shown = re.sub(r"[`*]|(?<!\w)_(?=\w)|(?<=\w)_(?!\w)", "", shown)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        yield f"{name}-{seen[name]}" if name in seen else name
        seen[name] = seen.get(name, 0) + 1


def wrong_with(page, link):
    """What is wrong with a link, or nothing."""
    parts = urllib.parse.urlsplit(link)
    if parts.scheme or parts.netloc:
        return None if parts.scheme == "https" and "." in parts.netloc else "is not https"
    target = page.parent / urllib.parse.unquote(parts.path) if parts.path else page
    if not target.exists():
        return "there is no such file"
    if not target.resolve().is_relative_to(ROOT):
        return "leads out of the repository"
    if parts.fragment and (target.suffix != ".md" or parts.fragment not in anchors(target.read_text("utf-8"))):
        return "there is no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = LINK.findall(prose(page.read_text("utf-8")))
    assert {link: wrong_with(page, link) for link in links if wrong_with(page, link)} == {}


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        links = LINK.findall(prose(page.read_text("utf-8")))
        targets = [(page.parent / link.split("#")[0]).resolve() for link in links if "://" not in link]
        waiting += [target for target in targets if target in PAGES]
    assert reached == set(PAGES)


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        pytest.param("geometry.md", None, id="a page beside it"),
        pytest.param("geometry.md#finer-output-strides", None, id="a heading of it"),
        pytest.param("#score_map", None, id="a heading of its own, which is code"),
        pytest.param("heatmap.png", None, id="an image"),
        pytest.param("../recipes", None, id="a folder"),
        pytest.param("https://cs231n.github.io/convolutional-networks/#convert", None, id="outside"),
        pytest.param("geometry.mb", "there is no such file", id="a file that is not there"),
        pytest.param("geometry.md#finer-strides", "there is no such heading", id="a heading that is not there"),
        pytest.param("heatmap.png#top", "there is no such heading", id="a heading of an image"),
        pytest.param("http://cs231n.github.io/", "is not https", id="not https"),
        pytest.param("mailto:someone", "is not https", id="no address of a page"),
        pytest.param("../../elsewhere", "there is no such file", id="a file outside"),
        pytest.param("../..", "leads out of the repository", id="a folder outside"),
    ],
)
def test_and_those_that_lead_nowhere_are_found(link, wrong):
    assert wrong_with(ROOT / "docs" / "dense-evaluation.md", link) == wrong


def test_headings_become_anchors_as_github_has_them():
    page = "# A `score_map`, *well*!\n## Twice\n## Twice\n## What is [here](x.md)?\n### 1 x 1 & n\n"
    code = "```sh\n# a comment\n```\n"
    assert list(anchors(page + code)) == ["a-score_map-well", "twice", "twice-1", "what-is-here", "1-x-1--n"]


def test_links_are_found_in_text_and_not_in_code():
    text = 'See [a](b.md "title"), [![p](c.png)](d.md) and `[x](y)`.\n```py\n[e](f)\n```\n'
    assert LINK.findall(prose(text)) == ["b.md", "c.png", "d.md"]
