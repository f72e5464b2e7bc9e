"""The stores that every cross-store test meets are all there are, and each of them opens empty, on both sides."""

from stores import STORES, each_store, opened

from kv_core.kinds import STORES as KINDS


def test_every_store_is_in_the_table():
    """Each store that settings can name, and that keeps anything, is met by the tests of all stores."""
    named = {kind.sync for name, kind in KINDS.items() if name != "null"}

    assert named <= {f"kv_core.sync.stores.{case.path}" for case in STORES.values()}


@each_store
def test_a_store_opens_empty(case, side, place):
    """What one test puts is there for a second handle, and gone for the next test."""
    for _ in range(2):
        with opened(case, side, place) as store:
            assert store.call("get", "key") is None
            store.call("put", "key", {"n": 1})
            assert store.call("get", "key") == {"n": 1}
            store.call("delete", "key")
