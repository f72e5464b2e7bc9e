"""Any operations in any order leave a store as they leave a dict; and the machine that says so finds broken stores."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from machine import StoreMachine
from stores import Handle, each_form, each_store, opened

from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.wrappers import NameWrapper

EXAMPLES, STEPS = (200, 50) if os.environ.get("KV_TEST_FULL") else (10, 20)


def run(store, examples, steps, *, derandomize=False):
    """Run the machine on a store."""
    checked = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=derandomize,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a run that failed is not made shorter: steps that wait would make that long
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: StoreMachine(store), settings=checked)


@each_store
def test_a_store_is_a_dict(case, side, place):
    """Whatever is done to a store, it answers as a dict of values would."""
    with opened(case, side, place) as store:
        run(store, EXAMPLES, STEPS)


@each_form
def test_several_servers_are_a_dict(case, side, place):
    """The same holds on clusters, behind sentinels and on several nodes."""
    with opened(case, side, place) as store:
        run(store, EXAMPLES // 5, STEPS)


class Losing(MemoryStore):
    """A store that loses the last of the entries of a bulk write."""

    def _write_many(self, collection, writes):
        super()._write_many(collection, writes[:-1] or writes)


class Aliasing(NameWrapper):
    """A store that joins the parts of an address as they are."""

    def __init__(self, store):
        self.key_value = store

    def _name(self, address):
        return "all", "::".join(address)


class Reviving(MemoryStore):
    """A store whose touch brings back what has ended."""

    def _touch(self, collection, key, ttl):
        record = self._table._collections.get(collection, {}).get(key)
        if record is not None:
            self._table.write(collection, key, record.data, ttl, lambda: 0.0)
            self._table.write(collection, key, record.data, ttl, self._now)
        return record is not None


class Living(MemoryStore):
    """A store that returns one object again and again."""

    def __init__(self):
        super().__init__()
        self._objects = {}

    def get(self, key, *, collection=None):
        found = super().get(key, collection=collection)
        return None if found is None else self._objects.setdefault((collection, key, repr(found)), found)


class Ending(MemoryStore):
    """A store in which a put without ttl leaves the ttl that there was."""

    def _write(self, collection, key, data, ttl, when):
        _, left = self._read_ttl(collection, key)
        return super()._write(collection, key, data, left if ttl is None else ttl, when)


class Trusting(MemoryStore):
    """A store that takes any revision for the newest."""

    def put_if_unchanged(self, key, value, revision, **options):
        return self.put_if_present(key, value, collection=options["collection"])


class Rounding(MemoryStore):
    """A store that counts in floats."""

    def increment(self, key, amount=1, **options):
        return int(float(super().increment(key, amount, **options)))


BROKEN = {
    "losing": Losing,
    "aliasing": lambda: Aliasing(MemoryStore()),
    "reviving": Reviving,
    "living": Living,
    "ending": Ending,
    "trusting": Trusting,
    "rounding": Rounding,
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN)
def test_a_broken_store_is_found_out(make):
    """The machine fails on a store that loses, confuses, revives, shares or miscounts entries."""
    with pytest.raises(AssertionError):
        run(Handle(make(), run=lambda answer: answer), 300, 50, derandomize=True)
