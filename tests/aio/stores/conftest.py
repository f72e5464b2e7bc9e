"""What the tests of stores share: Redis and Valkey, whose stores are alike."""

from importlib import import_module

import pytest
from redis import Redis as Raw


class Family:
    """One of the two: its store, its client, and a server, or servers, of the session."""

    def __init__(self, backend, shared):
        name, _, self.form = backend.partition("_")
        driver = import_module(f"kv_core.aio._drivers.{name}")
        self.name, self.shared = name, shared
        self.library = driver.LIBRARY
        self.client = getattr(driver, name.capitalize())
        self.store = getattr(import_module(f"kv_core.aio.stores.{name}"), f"{name.capitalize()}Store")

    def raw(self, url):
        """Return a plain client; redis-py serves for both."""
        return Raw.from_url(f"redis{url.removeprefix('valkey')}" if url.startswith("valkey") else url)


@pytest.fixture(scope="module")
def family_of(request):
    """A function that returns the family of a backend."""
    return lambda backend: Family(backend, request.getfixturevalue(f"{backend}_server"))


@pytest.fixture(scope="module", params=["redis", "valkey"])
def family(request, family_of):
    return family_of(request.param)


@pytest.fixture
def own(request, family):
    """A server that the test has for itself."""
    return request.getfixturevalue(f"own_{family.name}")


@pytest.fixture
def start_server(request, family):
    """A function that starts further ones."""
    return request.getfixturevalue(f"start_{family.name}")
