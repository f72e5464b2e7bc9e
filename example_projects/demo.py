"""Start the three applications over one set of stores, drive them over HTTP, and report.

    python -m example_projects.demo
    python -m example_projects.demo --serve    # leave them running

It needs kvstack[django,fastapi,flask,disk,redis], gunicorn, uvicorn and httpx; `make demo` installs them.
The stores are on disk, in a temporary folder; with KV_URL, for example redis://localhost:6379/0, they are there.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from gunicorn.config import KNOWN_SETTINGS

from example_projects.processes import HOST, DemoError, Server, Servers
from kv_core.errors import BaseKeyValueError, ConfigurationError
from kv_core.registry import Registry
from kv_core.settings import parse_stack
from kv_core.url import parse, path_of, redact

FOLDER = Path(__file__).resolve().parent
ALIASES = ("default", "sessions", "shared")
UNSHARED = {
    "memory": "a store in memory, which processes do not share",
    "simple": "a store in memory, which processes do not share",
    "null": "a store that keeps nothing",
}
USER = "anna"
SECONDS = 54
"""The demo ends by itself before a minute is over."""
VISITS, AT_ONCE = 50, 24
TTL = 1.5


class CheckFailedError(Exception):
    """Something is not as it should be."""


class TooLongError(DemoError):
    """The time for the whole demo is over."""


def expect(what: object, otherwise: str) -> None:
    """Fail the check that runs, unless *what* is true."""
    if not what:
        raise CheckFailedError(otherwise)


@dataclass
class App:
    """An application as its visitors see it, with a record of every request."""

    server: Server
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=5))
    seconds: list[float] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.server.name

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Make a request and note how long it took."""
        start = time.perf_counter()
        answer = self.client.request(method, self.server.url + path, **options)
        self.seconds.append(time.perf_counter() - start)
        expect(answer.status_code < 500, f"{self.name} answers {answer.status_code} to {method} {path}")
        return answer

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def json(self, path: str) -> Any:
        """Return what a request for JSON brings."""
        answer = self.get(path)
        expect(answer.status_code == 200, f"{self.name} answers {answer.status_code} to GET {path}")
        return answer.json()

    def form(self, path: str, **data: str) -> httpx.Response:
        """Send one of the shop's forms, with the token that it gave us in a cookie."""
        token = self.client.cookies.get("csrftoken", "")
        return self.ask("POST", path, data=data, headers={"X-CSRFToken": token})

    def stats(self) -> dict[str, float]:
        """Return what this process counted in all its stores, without counting our question as a visit."""
        stores = self.client.get(f"{self.server.url}/stats").json()["stores"].values()
        return {name: sum(store[name] for store in stores) for name in ("operations", "hits", "misses", "errors")}

    def collect(self) -> None:
        """Add what this process counted to what earlier ones did, as it is about to end."""
        for name, number in self.stats().items():
            self.counts[name] = self.counts.get(name, 0) + number


# --- what is shown ----------------------------------------------------------------------------------------------------


class Demo:
    """The scenes: each method is one, and returns what it saw."""

    def __init__(self, apps: dict[str, App], password: str) -> None:
        self.apps = apps
        self.shop, self.shop_asgi, self.links, self.notes = apps.values()
        self._password = password

    def scenes(self) -> dict[str, Callable[[], str]]:
        """Return the scenes in order, each with the sentence that it proves."""
        return {
            "A login survives a restart of the server process": self.login_survives,
            "The same session serves Django under WSGI and ASGI": self.asgi_knows_the_session,
            "A logout ends the session everywhere": self.logout_ends,
            "A cached view answers from the cache, and faster": self.cached_view,
            "What Django writes, FastAPI and Flask read": self.shop_announces,
            "What FastAPI writes, Django and Flask read": lambda: self.announces(self.links),
            "What Flask writes, Django and FastAPI read": lambda: self.announces(self.notes),
            "What has a ttl ends on time, in every application": self.ttl_ends,
            "Counting at once from all applications loses nothing": self.counting,
            "No operation of any store failed": self.no_errors,
        }

    def login_survives(self) -> str:
        shop = self.shop
        shop.get("/login")
        self._log_in()
        for product in (1, 1, 2):
            expect(shop.form(f"/cart/{product}").is_redirect, "the shop does not take a product into the cart")
        before, pid = shop.json("/account"), shop.server.pid
        expect(before["user"] == USER, f"the account is {before['user']}'s")
        expect(sum(before["cart"].values()) == 3, f"the cart holds {before['cart']}")
        shop.collect()
        shop.server.stop()
        shop.server.start()
        shop.server.wait()
        after = shop.json("/account")
        expect(after == before, f"after the restart the account is {after}, not {before}")
        return f"{USER} and a cart of 3, process {pid} and then {shop.server.pid}"

    def _log_in(self) -> None:
        answer = self.shop.form("/login", username=USER, password=self._password)
        expect(answer.is_redirect, f"the login answers {answer.status_code}")

    def asgi_knows_the_session(self) -> str:
        self.shop_asgi.client.cookies.update(self.shop.client.cookies)
        here, there = self.shop.json("/account"), self.shop_asgi.json("/account")
        expect(here == there, f"{there} is not {here}")
        return "one account, two servers"

    def logout_ends(self) -> str:
        expect(self.shop_asgi.form("/logout").is_redirect, "the logout is refused")
        self.shop_asgi.client.cookies.update(self.shop.client.cookies)  # a thief who kept the old cookie
        for app in (self.shop, self.shop_asgi):
            expect(app.get("/account").is_redirect, f"{app.name} takes the old session still")
        return "the old cookie opens nothing"

    def cached_view(self) -> str:
        hits = self.shop.stats()["hits"]
        first, slow = self.shop.json("/prices"), self.shop.seconds[-1]
        again = [(self.shop.json("/prices"), self.shop.seconds[-1]) for _ in range(3)]
        hits = self.shop.stats()["hits"] - hits
        fast = min(seconds for _, seconds in again)  # other programs may have been busy during one of them
        expect(all(body == first for body, _ in again), "a later answer was made anew")
        expect(hits, "no later answer was a hit")
        expect(fast < slow / 2, f"the first answer took {slow * 1e3:.0f} ms, a later one {fast * 1e3:.0f} ms")
        return f"{slow * 1e3:.0f} ms, then {fast * 1e3:.1f} ms"

    def shop_announces(self) -> str:
        self._log_in()
        text = _news()
        answer = self.shop.form("/announcement", text=text)
        expect(answer.status_code == 200, f"the shop answers {answer.status_code}")
        return self._read_everywhere(text, self.shop)

    def announces(self, writer: App) -> str:
        text = _news()
        answer = writer.ask("PUT", "/announcement", json={"text": text})
        expect(answer.status_code == 200, f"{writer.name} answers {answer.status_code}")
        return self._read_everywhere(text, writer)

    def _read_everywhere(self, text: str, writer: App) -> str:
        for reader in self.apps.values():
            found = reader.json("/announcement")["text"]
            expect(found == text, f"{reader.name} shows {found!r}, but {writer.name} wrote {text!r}")
        return f"“{text}”"

    def ttl_ends(self) -> str:
        """What has a ttl is there until it ends, and not after."""
        start = time.monotonic()
        link = self.links.ask("POST", "/links", json={"url": "https://example.org/", "ttl": TTL}).json()
        note = self.notes.ask("POST", "/notes", json={"text": "soon gone", "ttl": TTL}).json()
        self.notes.ask("PUT", "/announcement", json={"text": "soon gone", "ttl": TTL})
        kept = time.monotonic()
        paths = [(self.links, f"/go/{link['slug']}", 307), (self.notes, f"/notes/{note['id']}", 200)]
        looks = 0
        while True:
            seen = [(app, path, app.get(path).status_code, status) for app, path, status in paths]
            news = [app.json("/announcement")["text"] for app in self.apps.values()]
            if time.monotonic() >= start + TTL:
                break
            looks += 1
            for app, path, status, wanted in seen:
                expect(status == wanted, f"{app.name} has lost {path} before its time")
            expect(set(news) == {"soon gone"}, f"an announcement has ended before its time: {news}")
            time.sleep(0.05)
        time.sleep(max(0.0, kept + TTL + 0.05 - time.monotonic()))
        for app, path, _ in paths:
            expect(app.get(path).status_code == 404, f"{app.name} shows {path} after its end")
        for app in self.apps.values():
            expect(app.json("/announcement")["text"] == "", f"{app.name} shows an announcement after its end")
        expect(looks, f"this machine is too busy to look within {TTL} s")
        return f"{looks} looks within {TTL} s found everything, one after it nothing"

    def counting(self) -> str:
        apps = list(self.apps.values()) * VISITS
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda app: app.ask("POST", "/visits").json()["visits"], apps))
        lost = len(answers) - len(set(answers))
        expect(sorted(answers) == list(range(1, len(apps) + 1)), f"{lost} of {len(apps)} visits were lost")
        return f"{len(apps)} visits by {len(self.apps)} servers, {AT_ONCE} at once, none lost"

    def no_errors(self) -> str:
        for app in self.apps.values():
            app.collect()
            expect(not app.counts["errors"], f"{app.counts['errors']:.0f} operations of {app.name} failed")
        return f"{sum(app.counts['operations'] for app in self.apps.values()):,.0f} operations"


def _news() -> str:
    return f"Sale number {secrets.randbelow(10_000)}"


# --- how it is set up -------------------------------------------------------------------------------------------------


def describe_stores(folder: Path) -> tuple[dict[str, Any], str]:
    """Return the settings that all applications read, and where the data lies in words."""
    url = os.environ.get("KV_URL", "")
    wrappers: list[Any] = ["statistics"]
    if not url:
        url, where = f"disk://{folder}/store", "on disk, in a temporary folder"
    else:
        url = _usable(url)
        prefix = {"wrapper": "prefix_keys", "prefix": f"demo-{secrets.token_hex(4)}"}  # others may use this store
        where = redact(url)
        wrappers.append(prefix)
    return {alias: {"LOCATION": url, "COLLECTION": alias, "WRAPPERS": wrappers} for alias in ALIASES}, where


def _usable(url: str) -> str:
    """Return a URL by which all applications mean one store.

    Raises:
        DemoError: It is not one of a store, or of a store that processes cannot share.
    """
    try:
        parse_stack(url)
    except ConfigurationError as error:
        reasons = [f"{problem.message} {problem.hint}".strip() for problem in error.problems]
        raise DemoError(f"KV_URL: {' '.join(reasons)}") from error
    location = parse(url)
    if location.scheme in UNSHARED:
        raise DemoError(f"KV_URL: {UNSHARED[location.scheme]}: give redis://… or disk://…")
    if location.scheme in {"disk", "multi-disk"}:  # each application runs in a folder of its own
        path = Path(path_of(location)).expanduser().resolve()
        url = replace(location, address="", path=quote(str(path))).url()
    return url


@contextmanager
def prepared_stores(settings: dict[str, Any], where: str, *, keep: bool) -> Iterator[None]:
    """Make sure that the stores answer, and leave nothing in them."""
    try:
        registry = Registry(settings)
        registry.store().ping()
    except BaseKeyValueError as error:
        raise DemoError(f"The stores at {where} cannot be used: {error}") from error
    registry.close()  # the applications open their own
    try:
        yield
    finally:
        if not keep and not where.startswith("on disk"):
            registry = Registry(settings)
            with suppress(BaseKeyValueError):
                for alias in ALIASES:
                    registry.store(alias).destroy()
            registry.close()


def make_apps(settings: dict[str, Any], folder: Path) -> dict[str, App]:
    """Return the applications, none of them started."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("KV_", "FLASK_", "SHOP_"))}
    environment |= {
        "KV_STORES": json.dumps(settings),
        "SHOP_DATABASE": str(folder / "shop.sqlite3"),
        "SHOP_SECRET_KEY": secrets.token_hex(32),
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def server(name: str, kind: str, project: str, *words: str) -> App:
        def command(port: int) -> list[str]:
            if words[0] == "gunicorn":
                return [*words, "--bind", f"{HOST}:{port}", *quiet]
            return [*words, "--host", HOST, "--port", str(port), "--log-level", "warning"]

        log = folder / f"{name.replace(' ', '-').lower()}.log"
        return App(Server(name, kind, command, folder=FOLDER / project, environment=environment, log=log))

    quiet = ["--workers", "1", "--threads", "8", "--log-level", "warning", "--graceful-timeout", "3"]
    if any(getattr(setting, "name", "") == "control_socket_disable" for setting in KNOWN_SETTINGS):
        quiet.append("--no-control-socket")  # or several would share one in the home directory
    apps = [
        server("shop", "Django, gunicorn", "django_shop", "gunicorn", "shop.wsgi"),
        server("shop (ASGI)", "Django, uvicorn", "django_shop", "uvicorn", "shop.asgi:application", "--lifespan=off"),
        server("links", "FastAPI, uvicorn", "fastapi_links", "uvicorn", "links:app"),
        server("notes", "Flask, gunicorn", "flask_notes", "gunicorn", "notes:create_app()"),
    ]
    return {app.name: app for app in apps}


def prepare_shop(app: App, password: str) -> None:
    """Make the shop's database, with somebody who may log in."""
    app.server.run(["django", "prepare", "--user", USER, f"--password={password}"])


# --- what is printed --------------------------------------------------------------------------------------------------


class Paper:
    """Plain text, with colours on a terminal."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        try:
            "✓✗“”…".encode(sys.stdout.encoding or "ascii")
            self.good, self.bad = "✓", "✗"
        except UnicodeEncodeError:
            self.good, self.bad = "ok", "FAILED"
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")

    def line(self, text: str = "") -> None:
        """Print a line at once."""
        print(text, flush=True)

    def heading(self, text: str) -> None:
        self.line(f"\n\033[1m{text}\033[0m" if self._colours else f"\n{text}")

    def mark(self, *, good: bool) -> str:
        """Return the sign for what went well, or did not."""
        sign = self.good if good else self.bad
        return f"\033[{32 if good else 31}m{sign}\033[0m" if self._colours else sign

    def table(self, rows: Sequence[tuple[str, ...]]) -> None:
        """Print rows with the first two columns to the left and the others to the right."""
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            cells = [
                text.ljust(width) if column < 2 else text.rjust(width)
                for column, (text, width) in enumerate(zip(row, widths, strict=True))
            ]
            self.line(f"  {'  '.join(cells)}".rstrip())


def percentile(seconds: list[float], percent: int) -> str:
    """Return the latency that *percent* of the requests did not pass, in words."""
    if not seconds:
        return "-"
    place = max(0, -(-len(seconds) * percent // 100) - 1)
    return f"{sorted(seconds)[place] * 1e3:.1f} ms"


def report(paper: Paper, results: list[tuple[str, bool, str]], apps: dict[str, App]) -> None:
    """Print what was checked, and what each application did."""
    paper.heading("What was checked")
    width = max(len(text) for text, _, _ in results)
    for text, good, detail in results:
        paper.line(f"  {paper.mark(good=good)} {text.ljust(width)}  {detail}")
    paper.heading("What each application did")
    rows: list[tuple[str, ...]] = [
        ("application", "server", "requests", "p50", "p95", "operations", "hits", "misses", "hit rate")
    ]
    for app in apps.values():
        counts = {"operations": 0, "hits": 0, "misses": 0} | app.counts
        asked = counts["hits"] + counts["misses"]
        rate = f"{counts['hits'] / asked:.0%}" if asked else "-"
        numbers = [f"{counts[name]:,.0f}" for name in ("operations", "hits", "misses")]
        times = [percentile(app.seconds, 50), percentile(app.seconds, 95)]
        rows.append((app.name, app.server.kind, f"{len(app.seconds):,}", *times, *numbers, rate))
    paper.table(rows)
    paper.line("\n  Requests and their latency as a visitor sees them; operations, hits and misses of the stores.")


def what_to_try(apps: dict[str, App], password: str) -> list[tuple[str, str]]:
    """Return addresses, each with what there is to see."""
    shop, links, notes = (apps[name].server.url for name in ("shop", "links", "notes"))
    return [
        (shop, f"log in as {USER} with the password {password}, fill the cart, announce something"),
        (f"{shop}/prices", "slow at first, then from the cache"),
        (f"{links}/docs", "make a link with a ttl, follow it, look how often it was followed"),
        (f"{links}/announcement", "what the shop announced; PUT one and look in the shop and the notes"),
        (f"{notes}/notes", 'POST {"text": "…", "ttl": 60} and watch it end'),
        (f"{notes}/stats", "what that process asked of its stores; every application has this page"),
    ]


# --- main -------------------------------------------------------------------------------------------------------------


def run(options: argparse.Namespace, paper: Paper, folder: Path) -> int:
    """Do it all; return the exit status."""
    settings, where = describe_stores(folder)
    apps, password = make_apps(settings, folder), secrets.token_urlsafe(9)
    with prepared_stores(settings, where, keep=options.keep), Servers([app.server for app in apps.values()]) as servers:
        paper.line(f"The stores are {where}.")
        paper.line("Making the shop's database …")
        prepare_shop(apps["shop"], password)
        for app in apps.values():
            paper.line(f"Starting {app.name} ({app.server.kind}) at {app.server.url} …")
            app.server.start()
        for app in apps.values():
            app.server.wait()
        if options.serve:
            signal.alarm(0)
            paper.heading("The applications run; Ctrl-C ends them. What to try:")
            paper.table(what_to_try(apps, password))
            while True:
                servers.check()
                time.sleep(0.5)
        return show(Demo(apps, password), paper)


def show(demo: Demo, paper: Paper) -> int:
    """Run the scenes one after the other, then report."""
    results: list[tuple[str, bool, str]] = []
    paper.line()
    for text, scene in demo.scenes().items():
        paper.line(f"{text} …")
        try:
            results.append((text, True, scene()))
        except (CheckFailedError, DemoError, httpx.HTTPError, KeyError, ValueError) as error:
            results.append((text, False, f"{error}" or type(error).__name__))
            if isinstance(error, TooLongError):
                break
    report(paper, results, demo.apps)
    failed = [text for text, good, _ in results if not good]
    if failed:
        for app in demo.apps.values():
            if tail := app.server.tail():
                paper.line(tail)
        paper.line(f"\n{len(failed)} of {len(results)} checks failed.")
    else:
        paper.line(f"\nAll {len(results)} checks passed.")
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    """Read the command line; return the exit status: 0, 1 (a check failed), 2 (it could not run), 130 (Ctrl-C)."""
    parser = argparse.ArgumentParser(
        prog="python -m example_projects.demo",
        description="Start three applications over one set of stores, drive them over HTTP, and report.",
        epilog="KV_URL says where the stores are, for example redis://localhost:6379/0; by default on disk.",
    )
    parser.add_argument("--serve", action="store_true", help="leave the applications running until Ctrl-C")
    parser.add_argument("--keep", action="store_true", help="keep the data and the servers' logs, and say where")
    options = parser.parse_args(arguments)
    paper = Paper()
    start = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="kvstack-demo-"))

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    def too_long(number: int, frame: object) -> None:
        raise TooLongError(f"The demo took longer than {SECONDS} s.")

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, interrupt)
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        status = run(options, paper, folder)
        paper.line(f"It took {time.monotonic() - start:.1f} s.")
    except DemoError as error:
        paper.line(f"\n{paper.mark(good=False)} {error}")
        status = 2
    except KeyboardInterrupt:
        paper.line("\nStopped." if options.serve else "\nStopped before the end.")
        status = 0 if options.serve else 130
    finally:
        signal.alarm(0)
        if options.keep:
            paper.line(f"Data and logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
