"""A real Chromium for the tests of pages, installed by apt where the tests may."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
FLAGS = ("no-sandbox", "disable-gpu", "disable-quic", "disable-background-networking", "disable-component-update", "disable-sync")


def chromium(place: Path) -> str:
    """Return the path of Chromium, or of a Chrome; `place` is a folder that all workers share."""
    with FileLock(place / "chromium.lock"):
        if not any(map(shutil.which, NAMES)) and shutil.which("apt-get") and os.geteuid() == 0:
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            for words in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
                subprocess.run(["apt-get", *words], capture_output=True, timeout=600, env=environment)  # a failure shows below
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail("The pages are tested in Chromium, which is not installed: apt-get install chromium, or put another Chrome on PATH.")
    return path


@contextmanager
def opened(path: str) -> Iterator[Browser]:
    """Start a browser, and close it at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[f"--{flag}" for flag in FLAGS])
        yield browser
        browser.close()


def watched(page: Page) -> list[str]:
    """Return a list that grows with whatever a page should not do: errors, messages on the console, requests that leave the machine."""
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(f"request: {asked.url}"))
    return wrong
