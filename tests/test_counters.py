"""The statistics of a stack are exact, however many threads use it and whatever it stands on."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from stores import STORES

from kv_core.sync.wrappers.statistics import StatisticsWrapper

THREADS = 8
EACH = 10_000 // (1 if os.environ.get("KV_TEST_FULL") else 20)


@pytest.mark.faults(95)
@pytest.mark.parametrize("case", [STORES[name] for name in ("memory", "disk", "redis")], ids=lambda case: case.name)
def test_threads_through_a_stack(case, place):
    """Every call of every thread is counted, as what it was and in its collection."""

    def work(thread):
        for number in range(EACH // 2):
            stack.put(f"{thread}-{number}", {"n": number}, collection=f"even {number % 2 == 0}")
            stack.get(f"{thread}-{number}", collection="even True")

    with StatisticsWrapper(case.make("sync", place)) as stack:
        stack.destroy()
        stack.reset_statistics()
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(work, range(THREADS)))
        seen = stack.statistics
        stack.destroy()

    calls = THREADS * EACH // 2
    assert (seen.count, seen.errors) == (2 * calls, 0)
    assert (seen.hits, seen.misses) == (calls // 2, calls // 2)
    assert seen.operation("put").count == calls
    assert seen.get_collection("even False").count == calls // 2
    assert seen.get_collection("even True").count == calls // 2 + calls
    assert sum(seen.operation("get")._latencies) == calls
