"""How a collection's directory is called, and how many databases a thread has open."""

import os
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kv_core.disk_databases import Databases, at_one_place, below, directory_name, places_below

FULL = bool(os.environ.get("KV_TEST_FULL"))


@pytest.mark.faults(13, 14, 16)
@pytest.mark.parametrize(
    ("collection", "name"),
    [
        ("users", "users"),
        ("user-sessions_2", "user-sessions_2"),
        ("Users", "%55sers"),
        ("a:b", "a%3ab"),
        ("%55sers", "%2555sers"),
        ("..", "%2e%2e"),
        ("../x", "%2e%2e%2fx"),
        ("C:\\x", "%43%3a%5cx"),
        ("a\0b", "a%00b"),
        ("con", "%63on"),
        ("lpt9", "%6cpt9"),
        ("console", "console"),
        ("é", "%c3%a9"),
        ("e\u0301", "e%cc%81"),
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 79 + "~dbc1e802cfa5f221da8d93f0b272e57c8a2c8fde"),
    ],
)
def test_names(collection, name):
    """These names are on users' disks: a change of one would lose a collection."""
    assert directory_name(collection) == name


@pytest.mark.faults(12)
@given(st.text(min_size=1))
def test_names_can_be_read_back(collection):
    """A name that was not cut short says exactly which collection it is, on a file system that ignores case, too."""
    name = directory_name(collection)

    assert name == name.lower()
    assert len(name) <= 120
    assert "~" in name or unquote(name, errors="strict") == collection


@pytest.mark.faults(12)
def test_many_names():
    """A million names, long ones among them that differ at their ends alone, are all distinct."""
    count = 1_000_000 if FULL else 20_000
    names = {directory_name(f"{'é' * (number % 100)}{number}") for number in range(count)}

    assert len({name.casefold() for name in names}) == count


def test_few_are_open(tmp_path):
    """Beyond the limit the one that was opened first is closed; what is not there stands for an empty one."""
    databases = Databases(below(tmp_path, None), 2)
    first, second = databases.open("first", True), databases.open("second", True)
    third = databases.open("third", True)

    assert list(databases) == ["second", "third"]
    with pytest.raises(Exception, match="closed"):
        first.execute("SELECT 1")
    assert databases.open("absent", False) is databases.open("other", False)
    assert databases.open("absent", False).execute("SELECT count(*) FROM Cache").fetchone() == (0,)
    assert list(databases) == ["second", "third"]
    assert second.execute("SELECT count(*) FROM Cache").fetchone() == (0,)
    databases.close()
    with pytest.raises(Exception, match="closed"):
        third.execute("SELECT 1")
    assert places_below(tmp_path) == ["first", "second", "third"]


def test_a_directory_that_cannot_be_one(tmp_path):
    """A file in a directory's place is an error, not an empty collection."""
    (tmp_path / "base").write_text("a file")

    with pytest.raises(OSError, match="base"):
        below(tmp_path / "base", None)("users", False)
    with pytest.raises(OSError, match="base"):
        at_one_place(tmp_path / "base", None)("", False)
