"""The engine and the page in web/, by their own tests; they need Node, and the page Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
BUILT = ROOT / "src/segnet/export/web"

pytestmark = [
    pytest.mark.skipif(shutil.which("npm") is None, reason="Node isn't here, which runs the tests of web/"),
    pytest.mark.skipif(
        not (WEB / "node_modules").is_dir(), reason="web/ has no packages: run npm ci in it, or make test"
    ),
]


def run(*command: str, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=WEB,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """The kernels as WebAssembly, which aren't in the repository."""
    run("npm", "run", "--silent", "kernels")


def test_the_code_is_well_formed() -> None:
    run("npm", "run", "--silent", "check")


def test_the_package_carries_what_the_sources_build(tmp_path: Path) -> None:
    run("node", "build.mjs", str(tmp_path))
    for file in ("page.html", "explain.html", "engine.mjs"):
        message = f"{file} is not what web/ builds; run make page"
        assert (tmp_path / file).read_bytes() == (BUILT / file).read_bytes(), message


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fixtures")
    script = Path(__file__).with_name("make_fixtures.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True)
    return folder


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.mark.parametrize("file", sorted(path.name for path in (WEB / "test").glob("*.test.ts")))
def test_the_web_tests_pass(file: str, fixtures: Path) -> None:
    opens_pages = "launch" in (WEB / "test" / file).read_text()
    if opens_pages and not any(map(shutil.which, BROWSERS)):
        pytest.skip(f"pages are tested in a browser; none of {', '.join(BROWSERS)} is here")
    run("npx", "vitest", "run", f"test/{file}", environment={"SEGNET_FIXTURES": str(fixtures)})
