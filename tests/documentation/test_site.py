"""The site that ``make docs`` builds: whole, without a broken link, and readable without a network.

`make test` leaves it out: it is built once more here.
"""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import segnet
from segnet.models import MODELS
from segnet.report.sections import METRICS
from segnet.training.configuration.config import recipe_settings
from segnet.training.losses.losses import LOSSES

pytest.importorskip("mkdocs", reason="the site takes the extra docs")
pytestmark = pytest.mark.campaign
ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """The anchors of a page, where its links lead, and what a browser fetches to show it."""

    def __init__(self, file):
        super().__init__()
        self.anchors, self.links, self.fetched = {""}, [], []
        self.text = file.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        if tag == "a":
            self.links.append(attributes.get("href") or "")
        elif tag == "link" and attributes.get("rel") not in ("canonical", "next", "prev"):
            self.fetched.append(attributes["href"])
        elif attributes.get("src"):
            self.fetched.append(attributes["src"])


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the site, built strictly: a warning would have ended it."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [Path(sys.executable).parent / "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="session")
def pages(site):
    """Each page of the site by its place; the page for what isn't there has absolute links."""
    return {file: Page(file) for file in site.rglob("*.html") if file.name != "404.html"}


def test_no_page_fetches_anything_from_elsewhere(pages):
    fetched = {address for page in pages.values() for address in page.fetched}
    assert {address for address in fetched if urlsplit(address).scheme not in ("", "data")} == set()
    assert {address for address in fetched if address.startswith("/")} == set()


def test_no_style_fetches_anything_from_elsewhere(site):
    styles = "".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", styles) == []


def test_what_a_page_fetches_is_there(pages):
    for file, page in pages.items():
        places = [file.parent / unquote(urlsplit(each).path) for each in page.fetched if ":" not in each]
        assert [place for place in places if not place.is_file()] == [], file


def test_links_inside_lead_to_pages_and_anchors(pages):
    for file, page in pages.items():
        for link in map(urlsplit, page.links):
            if link.scheme:
                continue
            target = (file.parent / unquote(link.path)).resolve() if link.path else file
            assert target.is_file(), f"{file.name}: {link.geturl()}"
            if target in pages:
                assert unquote(link.fragment) in pages[target].anchors, f"{file.name}: {link.geturl()}"


def test_nothing_is_left_to_be_put_in(pages):
    assert [file for file, page in pages.items() if re.search("<!-- segnet:|^:::", page.text, re.M)] == []


def test_the_reference_has_every_public_name_command_model_loss_and_recipe(site, pages):
    def anchors(page):
        return pages[site / f"reference/{page}.html"].anchors

    names = {f"segnet.{name}" for name in segnet.__all__ if name != "__version__"}
    names |= {"segnet.core.pooling.max_pool_2x2", "segnet.core.pooling.max_unpool_2x2"}
    assert names - anchors("python") == set()
    assert {f"segnet-{command}" for command in ("train", "eval", "show-pooling")} - anchors(
        "command-line"
    ) == set()
    usage = pages[site / "reference/command-line.html"].text
    assert "segnet train [OPTIONS]" in re.sub("<[^>]*>", "", usage)
    assert MODELS.keys() - anchors("models") == set()
    losses = {f"segnet.training.losses.losses.{loss.__name__}" for loss in LOSSES.values()}
    assert losses - anchors("losses") == set()
    recipes, metrics = (
        pages[site / f"{page}.html"].text for page in ("reference/recipes", "explanation/metrics")
    )
    assert [f"--{name.replace('_', '-')}" in recipes for name in recipe_settings("modern")].count(False) == 0
    assert [name in metrics for name, _ in METRICS.values()].count(False) == 0


def test_the_losses_table_has_every_loss(pages, site):
    text = pages[site / "reference/losses.html"].text
    assert [name for name in LOSSES if f"<code>{name}</code>" not in text] == []
