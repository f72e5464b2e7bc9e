"""The table of adversarial cases in the documentation is what the tests' marks say."""

import os

import pytest
from faults import SECTIONS, gather, numbers, tables
from published import publish

CASES = {number for cases in SECTIONS.values() for number in cases}


def test_every_number_is_a_case(request):
    """No test bears a number that is no case."""
    borne = {number for item in request.session.items for number in numbers(item)}

    assert borne <= CASES


def test_the_published_cases(pytestconfig, everything):
    """The table lists each case with the tests that show it and the backends that they meet in an ordinary run."""
    if os.environ.get("KV_TEST_FULL"):
        pytest.skip("with FULL=1 some tests meet more backends than the page says")
    publish(pytestconfig, "faults.md", "faults", tables(gather(everything)))
