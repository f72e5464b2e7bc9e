"""Stores on a server, and processes that are told to end while they put."""

import asyncio
import os
import random
import signal
import time
from functools import partial
from itertools import count

import pytest
from forks import in_child, number_of, sealed, status
from network import NETWORK

FULL = bool(os.environ.get("KV_TEST_FULL"))
SIZE = 4000
"""How often a value repeats its number: so it takes several segments to send."""


def puts(make, side, said):
    """Put sealed values under one key without end, and say after each that it was acknowledged."""

    def acknowledge(number):
        os.write(said, number.to_bytes(4, "big"))

    async def main():
        store = make("kv_core.aio")
        for number in count():
            await store.put("key", sealed(number, size=SIZE))
            acknowledge(number)

    if side == "aio":
        asyncio.run(main())
    store = make("kv_core.sync")
    for number in count():
        store.put("key", sealed(number, size=SIZE))
        acknowledge(number)


@pytest.mark.timeout(600 if FULL else 60)
@pytest.mark.faults(135)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("side", ["sync", "aio"])
@pytest.mark.parametrize("name", NETWORK)
def test_ended_in_the_middle_of_a_put(request, name, side, number):
    """A process that is told to end while it puts leaves the old value or the new one, never half of one."""
    url = request.getfixturevalue(f"{name}_server").url
    make = partial(NETWORK[name].make, url=url, default_collection="ended")
    chance = random.Random(5)
    for _ in range(40 if FULL else 4):
        reading, writing = os.pipe()
        pid = in_child(lambda said=writing: puts(make, side, said))
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            said.read(4 * 3)
            time.sleep(chance.random() * 0.005)
            os.kill(pid, number)
            rest = said.read()
        ended = status(pid)
        last = int.from_bytes(rest[-4:], "big") if rest else 2

        assert ended == (1 if number is signal.SIGINT else -number)
        with make("kv_core.sync") as store:
            assert last <= number_of(store.get("key")) <= last + 1
            assert store.delete("key") is True
