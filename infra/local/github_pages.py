"""Sends the forms of GitHub's pages as a browser would, where no browser is needed."""

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

from command import Run


def follow(
    run: Run, create: Callable[[str], object] | None = None, install: Callable[[str], object] | None = None
) -> None:
    """Creates and installs the App as `setup` asks, unless that is done."""
    page = run.until(r"Open in a browser (\S+)|^error|is ready")
    if page is not None and page[1] is not None and page[1].endswith("/"):
        (create or open_in_browser)(page[1])
        page = run.until(r"Open in a browser (\S+/installations/new)|^error|is ready")
    if page is not None and page[1] is not None:
        (install or install_elsewhere)(page[1])


class _Form(HTMLParser):
    """The last form of a page: its action, and its hidden fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "form":
            self.action, self.fields = named.get("action") or "", {}
        if tag == "input" and named.get("name"):
            self.fields[str(named["name"])] = named.get("value") or ""


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: on another machine, the page would fail to load."""

    def redirect_request(self, *_: Any) -> None:
        return None


def install_elsewhere(page: str) -> None:
    """Installs the App on all repositories."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(page, timeout=20) as answer:
        form = _Form(answer.read().decode())
    fields = {**form.fields, "install_target": "all"}
    address = urllib.parse.urljoin(page, form.action)
    opener.open(address, urllib.parse.urlencode(fields).encode(), timeout=20).close()


def open_in_browser(start: str) -> None:
    """Creates the App as a browser on this machine would."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(create_elsewhere(start), timeout=20):
        pass


def create_elsewhere(start: str) -> str:
    """Creates the App as a browser on another machine would, and returns the address that fails to load there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
    with opener.open(start, timeout=20) as page:
        form = _Form(page.read().decode())
    with opener.open(form.action, urllib.parse.urlencode(form.fields).encode(), timeout=20) as page:
        confirmation = _Form(page.read().decode())
        address = urllib.parse.urljoin(form.action, confirmation.action)
    try:
        opener.open(address, urllib.parse.urlencode(confirmation.fields).encode(), timeout=20).close()
    except urllib.error.HTTPError as redirect:
        with redirect:
            return str(redirect.headers["location"])
    raise RuntimeError(f"{address} did not lead back")
