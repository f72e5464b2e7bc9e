"""Run Django's own tests of cache backends and session engines on ours, in a process of their own.

`python suite.py <folder of Django's tests> <location> <mode>` prints one line of JSON: for each of Django's test
classes how many tests ran and passed, what failed, and what was skipped and why. The mode is "sync", "loop" (all calls
through `a…` methods, on one event loop) or "loops" (the same, with an event loop for each call).
"""

from __future__ import annotations

import asyncio
import json
import sys
import unittest
from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings


def configure(location: str) -> None:
    """Set Django up as its own tests expect it, with sessions and a cache at *location*."""
    import django

    settings.configure(
        SECRET_KEY="django_tests_secret_key",
        KV_STORES={"default": location},
        CACHES={"default": {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "kv:default"}},
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sites",
            "django.contrib.sessions",
            "cache",
            "sessions_tests",
        ],
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
        SITE_ID=1,
        USE_TZ=False,
    )
    django.setup()


def through_loops() -> type[Any]:
    """Return a backend whose methods for threads call those for event loops."""
    from kv_django._cache_async import AsyncMethods
    from kv_django.cache import KeyValueCache

    names = [name.removeprefix("a") for name in vars(AsyncMethods) if name.startswith("a")]
    names.append("close")

    def through(name: str) -> Any:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return async_to_sync(getattr(self, f"a{name}"))(*args, **kwargs)

        return call

    missing = set(names) - {name for name in dir(KeyValueCache) if not name.startswith("_")}
    assert not missing - {"iter_keys"}, missing
    return type("ThroughLoops", (KeyValueCache,), {name: through(name) for name in names if name != "iter_keys"})


def test_cases(location: str, mode: str) -> dict[str, type[unittest.TestCase]]:
    """Return Django's tests, bound to what is tested."""
    from cache.tests import BaseCacheTests, caches_setting_for_tests
    from django.test import SimpleTestCase, TestCase, override_settings
    from sessions_tests.tests import SessionTestsMixin

    from kv_django.sessions import SessionStore

    if mode == "sync":
        backend = "kv_django.cache.KeyValueCache"
    else:
        backend = "suite.ThroughLoops"
        sys.modules["suite"] = sys.modules[__name__]
        sys.modules[__name__].ThroughLoops = through_loops()  # type: ignore[attr-defined]
    # Django leaves these two out for servers, which do not cull by number of entries either.
    exclude = set() if location.startswith("memory:") else {"cull", "zero_cull"}
    caches = caches_setting_for_tests(BACKEND=backend, LOCATION=location, exclude=exclude)
    cases = {"BaseCacheTests": override_settings(CACHES=caches)(type("Cache", (BaseCacheTests, TestCase), {}))}
    if mode == "sync":  # half of these are for the other side already
        cases["SessionTestsMixin"] = type("Sessions", (SessionTestsMixin, SimpleTestCase), {"backend": SessionStore})
    return cases


def run(cases: dict[str, type[unittest.TestCase]]) -> dict[str, Any]:
    """Run them on a test database, and count."""
    from django.test.runner import DiscoverRunner
    from django.test.utils import setup_test_environment, teardown_test_environment

    runner = DiscoverRunner(verbosity=0, interactive=False)
    setup_test_environment()
    databases = runner.setup_databases()
    report = {}
    for name, case in cases.items():
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
        result = unittest.TextTestRunner(sys.stderr, verbosity=1).run(suite)
        bad = [*result.failures, *result.errors]
        failed = sorted({getattr(test, "test_case", test)._testMethodName for test, _ in bad})
        skipped = {test._testMethodName: reason for test, reason in result.skipped}
        passed = result.testsRun - len(failed) - len(skipped)
        report[name] = {"run": result.testsRun, "passed": passed, "failed": failed, "skipped": skipped}
    runner.teardown_databases(databases)
    teardown_test_environment()
    return report


def main(folder: str, location: str, mode: str) -> None:
    """Configure, run and report."""
    sys.path[:0] = [folder, str(Path(__file__).parent)]
    configure(location)
    cases = test_cases(location, mode)
    report = asyncio.run(sync_to_async(run)(cases)) if mode == "loop" else run(cases)
    from kv_django import close_stores

    close_stores()
    print(json.dumps(report), flush=True)  # noqa: T201 - what the parent reads


if __name__ == "__main__":
    main(*sys.argv[1:])
