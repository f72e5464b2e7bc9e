"""Django's settings for the tests of this folder, and Django's own tests from its source distribution."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import django
import pytest
from django.conf import settings as django_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import Server
    from summary import Met

if not django_settings.configured:
    django_settings.configure(
        SECRET_KEY="a key for the tests of this folder",
        KV_STORES={"default": "memory://"},
        CACHES={"default": {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "kv:default"}},
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "kv_django",
        ],
        SESSION_ENGINE="kv_django.sessions",
        USE_TZ=True,
    )
    django.setup()

SECTION = f"Django's own tests ({django.get_version()})"
REQUIRED = bool(os.environ.get("KV_REQUIRE_SERVERS") or os.environ.get("CI"))


class NoSourceError(Exception):
    """Django's tests cannot be had here; the message says what was tried."""


def fetch_source(folder: Path) -> Path:
    """Return the folder of the tests of the installed Django; they come with its source distribution only."""
    version = django.get_version()
    tests = folder / f"django-{version}" / "tests"
    if tests.is_dir():
        return tests
    with tempfile.TemporaryDirectory(dir=folder) as name:
        own = Path(name)
        with tarfile.open(os.environ.get("KV_DJANGO_SDIST") or download(version, own)) as source:
            for member in source:
                top, _, rest = member.name.partition("/")
                if rest.startswith("tests/") and top.lower() == f"django-{version}":
                    member.name = rest
                    source.extract(member, own, filter="data")
        if not (own / "tests").is_dir():
            message = f"the source distribution holds no tests of Django {version}"
            raise NoSourceError(message)
        tests.parent.mkdir(exist_ok=True)
        try:
            (own / "tests").rename(tests)
        except OSError:
            if not tests.is_dir():  # or another process of this run was first
                raise
    return tests


def download(version: str, folder: Path) -> str:
    """Have pip download the source distribution; an environment without pip has one in the Python it came from."""
    tried = []
    for python in dict.fromkeys((sys.executable, sys._base_executable)):
        command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "django"]
        command += ["--dest", str(folder), f"Django=={version}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        if done.returncode == 0:
            return str(next(path for path in folder.glob("*.tar.gz") if version in path.name))
        tried.append((done.stderr.strip().splitlines() or ["pip failed"])[-1])
    raise NoSourceError("; ".join(tried))


@pytest.fixture(scope="session")
def django_tests(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, met: Met) -> Path:
    """The folder of Django's own tests, of the installed version."""
    cache = getattr(pytestconfig, "cache", None)
    folder = cache.mkdir("django-source") if cache is not None else tmp_path_factory.mktemp("django-source")
    try:
        return fetch_source(folder)
    except (NoSourceError, subprocess.TimeoutExpired) as error:
        message = f"no source distribution of Django {django.get_version()}: {error}"
        met.sections[SECTION].append(f"NOT RUN: {message}")
        if REQUIRED:
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def tell(met: Met) -> Callable[[str, dict[str, Any]], None]:
    """A function that tells the summary what Django's own tests reported, and what they ran on."""

    def tell(what: str, report: dict[str, Any]) -> None:
        for name, counts in report.items():
            reasons = Counter(counts["skipped"].values())
            left = [f"{count} skipped: {reason}" for reason, count in reasons.items()]
            left += [f"failed: {name}" for name in counts["failed"]]
            line = f"{what}: {name} {counts['passed']}/{counts['run']} passed {'; '.join(left)}"
            met.sections[SECTION].append(line)

    return tell


@pytest.fixture(params=["memory", "disk", "redis"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store of each kind; in the server others may have left entries."""
    if request.param == "disk":
        return f"disk://{tmp_path}/store"
    if request.param == "memory":
        return f"memory://{uuid4().hex}"
    server: Server = request.getfixturevalue("redis_server")
    return server.url


@pytest.fixture(params=["", "a"], ids=["sync", "aio"])
def side(request: pytest.FixtureRequest) -> str:
    """What stands before the names of methods on each side."""
    return request.param


@pytest.fixture
def prefix() -> str:
    """A key prefix that no other test has."""
    return uuid4().hex


class OnSide:
    """Something of Django's with methods on both sides, called on one of them; each call is awaited."""

    def __init__(self, thing: Any, side: str) -> None:
        self.thing = thing
        self.side = side

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.thing, self.side + name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            return await result if self.side else result

        return call


@pytest.fixture
def new_cache(settings: Any, location: str, prefix: str, side: str) -> Iterator[Any]:
    """Make caches at the location, each called on the side that the test is about."""
    from django.core.cache import caches

    import kv_django

    settings.KV_STORES = {"default": location}
    made: dict[str, Any] = {}

    def make(alias: str = "default", **params: Any) -> OnSide:
        made[alias] = {
            "BACKEND": "kv_django.cache.KeyValueCache",
            "LOCATION": "kv:default",
            "KEY_PREFIX": prefix,
            **params,
        }
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}, **made}
        return OnSide(caches[alias], side)

    yield make
    for alias in made:
        caches[alias].clear()
    kv_django.close_stores()


@pytest.fixture
def cache(new_cache: Any) -> OnSide:
    """A cache at the location, called on the side that the test is about."""
    return new_cache()
