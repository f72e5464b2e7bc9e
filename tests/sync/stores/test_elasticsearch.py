# Written by tools/mirror.py from tests/aio/stores/test_elasticsearch.py: change that file instead.
"""ElasticsearchStore passes the contract."""

import pytest
from elasticsearch import Elasticsearch as Raw

from kv_core.sync._drivers import elasticsearch as driver
from kv_core.sync.stores.elasticsearch import ElasticsearchStore
from kv_core.sync.testing import StoreContract, ToldClock

INDEX = "kv-test-elasticsearch-aio"


@pytest.fixture
def raw(elasticsearch_server):
    """A plain client for the server, on which the index of these tests is missing before and after each."""
    with Raw(elasticsearch_server.url) as client:
        client.indices.delete(index=INDEX, ignore_unavailable=True)
        yield client
        client.indices.delete(index=INDEX, ignore_unavailable=True)


@pytest.fixture
def url(elasticsearch_server, raw):
    return elasticsearch_server.url.replace("http://", "elasticsearch://")


@pytest.fixture
def clock():
    return ToldClock()


class TestElasticsearchStore(StoreContract):
    """The contract, on a running server."""

    @pytest.fixture
    def make(self, url, clock):
        return lambda: ElasticsearchStore(url=url, index=INDEX, _clock=clock)

    @pytest.fixture
    def advance(self, clock):
        return clock.advance


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # of aiohttp, by a client that is not ours
class TestElasticsearchStoreWithClient(StoreContract):
    """The contract, on a client that was passed in."""

    @pytest.fixture
    def client(self, elasticsearch_server, raw):
        client = driver.Elasticsearch(elasticsearch_server.url)
        yield client
        assert client.ping()
        client.close()

    @pytest.fixture
    def make(self, client, clock):
        return lambda: ElasticsearchStore(client=client, index=INDEX, _clock=clock)

    @pytest.fixture
    def advance(self, clock):
        return clock.advance
