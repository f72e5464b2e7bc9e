"""What each store can do, in how many round trips, and how far its promises go: the documentation says what is so."""

from dataclasses import replace

import pytest
from published import cells, publish, read, table
from roundtrips import CALLS, counts, relayed
from stores import SIDES, STORES, Case, opened

from kv_core.capabilities import OPERATIONS

PAGE = "stores/capabilities.md"
ALL = {**STORES, "null": Case("null", "null.NullStore", lambda place: {})}
NETWORK = {name: case for name, case in STORES.items() if case.server}
HAS, LACKS = "✓", "–"  # noqa: RUF001 - a dash, as tables have it

MEASURED = {}
"""What this process has measured: a column for each store."""


def test_every_operation_is_counted():
    """No operation is left out."""
    assert CALLS.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("case", NETWORK.values(), ids=NETWORK)
def test_the_published_round_trips(case, side, place, pytestconfig):
    """Each operation takes as many round trips as the documentation says."""
    with relayed(place.url) as relay, opened(case, side, replace(place, url=relay.url)) as store:
        found = counts(store, relay)
    MEASURED[case.name] = {name: str(found[name]) if name in found else LACKS for name in OPERATIONS}

    if not pytestconfig.getoption("publish"):
        heads, *rows = cells(read(PAGE, "capabilities"))
        column = heads.index(case.name)
        assert {row[0].strip("`"): row[column] for row in rows} == MEASURED[case.name], "`make tables`"


def test_the_published_capabilities(pytestconfig):
    """The table has every store and operation; what this process did not measure stays as it is."""
    heads, *rows = cells(read(PAGE, "capabilities"))
    before = {name: {row[0].strip("`"): row[number] for row in rows} for number, name in enumerate(heads)}
    columns = {}
    for name, case in ALL.items():
        has = case.load("sync")._has
        columns[name] = {operation: HAS if operation in has else LACKS for operation in OPERATIONS}
        if name in NETWORK:
            columns[name] = MEASURED.get(name) or before.get(name, dict.fromkeys(OPERATIONS, "?"))

    rows = [[f"`{operation}`", *(columns[name][operation] for name in columns)] for operation in OPERATIONS]
    publish(pytestconfig, PAGE, "capabilities", table(["", *columns], rows))


@pytest.mark.faults(58, 138, 147)
def test_the_published_promises(pytestconfig):
    """The table says what the stores' classes say, and both sides say the same."""
    rows = []
    for name, case in ALL.items():
        promises = case.load("sync")._promises
        assert promises == case.load("aio")._promises
        rows.append([name, *promises])

    publish(pytestconfig, PAGE, "promises", table(["", *(f"{field}" for field in promises._fields)], rows))
