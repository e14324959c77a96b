"""A real browser for the pages: Chromium or Chrome, whichever is installed, driven by the package playwright."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run"),
    *("--disable-component-update", "--disable-sync"),
)
_LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
WIDE, PHONE = 1280, 390
_PATIENCE = 120_000  # ms, for machines that have much else to do


@contextmanager
def started() -> "Iterator[Browser]":
    """The browser; the test is skipped, with the reason, where there is none."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser is installed ({', '.join(_NAMES)})")
    sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(_QUIET), headless=True, timeout=_PATIENCE)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: "Browser", path: Path, width: int = WIDE, scheme: Any = "light", scripts: bool = True) -> "Iterator[Page]":
    """A page of ours in a window of this width; that it asks for nothing else and reports no error is checked at the end."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts)
    context.set_default_timeout(_PATIENCE)
    page = context.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    try:
        page.goto(path.as_uri())
        yield page
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        assert errors == []
    finally:
        context.close()


def violations(page: "Page") -> list[str]:
    """What axe finds against WCAG, levels A and AA; the test is skipped, with the reason, without axe."""
    if (found := importlib.util.find_spec("axe_playwright_python")) is None or found.origin is None:
        pytest.skip("the package axe-playwright-python, which brings axe, is not installed")
    page.evaluate((Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8"))
    result = page.evaluate("levels => axe.run(document, {runOnly: {type: 'tag', values: levels}})", _LEVELS)
    assert result["passes"], "axe checked nothing"
    return [f"{one['id']}: {node['html'][:200]}" for one in result["violations"] for node in one["nodes"]]
