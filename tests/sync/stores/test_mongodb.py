# Written by tools/mirror.py from tests/aio/stores/test_mongodb.py: change that file instead.
"""MongoDBStore passes the contract, and what is special about it: its documents, commands, indexes, clocks, sizes."""

from uuid import uuid4

import pytest
from pymongo import MongoClient as Raw

from kv_core.sync._drivers import mongodb as driver
from kv_core.sync.stores.mongodb import MongoDBStore
from kv_core.sync.testing import StoreContract

DATABASE = "kv_test"


@pytest.fixture(scope="module")
def server(mongodb_server):
    """The server, and a plain client that all tests of this file look through."""
    with Raw(mongodb_server.url, tz_aware=True) as client:
        yield client
        client.drop_database(DATABASE)


@pytest.fixture
def raw(server):
    """A Mongo collection of the test's own."""
    collection = server[DATABASE][f"test_{uuid4().hex[:12]}"]
    yield collection
    collection.drop()


@pytest.fixture
def make(mongodb_server, raw):
    return lambda **options: MongoDBStore(
        **{"url": mongodb_server.url, "db_name": DATABASE, "coll_name": raw.name} | options
    )


@pytest.fixture
def store(make):
    with make() as store:
        yield store


class TestMongoDBStore(StoreContract):
    """The contract, on a real server."""

    @pytest.fixture
    def make(self, mongodb_server, raw):
        return lambda: MongoDBStore(url=f"{mongodb_server.url}/{DATABASE}", coll_name=raw.name)


class TestMongoDBStoreWithClient(StoreContract):
    """The contract, on a client that was passed in and configured for something else."""

    @pytest.fixture
    def client(self, mongodb_server):
        options = "w=1&readPreference=secondaryPreferred&uuidRepresentation=standard&tz_aware=false"
        client = driver.MongoClient(f"{mongodb_server.url}/{DATABASE}?{options}")
        yield client
        assert client.admin.command("ping")
        client.close()

    @pytest.fixture
    def make(self, client, raw):
        return lambda: MongoDBStore(client=client, coll_name=raw.name)
