"""The tree of errors: names, what people expect to catch, what may be repeated, what is shown."""

import pickle

import pytest

from kv_core import errors
from kv_core.errors import BaseKeyValueError, ConfigurationError, PartialFailureError, Problem

TREE = {
    "InvalidKeyError": (TypeError, ValueError),
    "InvalidCollectionError": (errors.InvalidKeyError,),
    "InvalidTTLError": (TypeError, ValueError),
    "InvalidRevisionError": (TypeError,),
    "BatchLengthError": (ValueError,),
    "SerializationError": (TypeError, ValueError),
    "DeserializationError": (ValueError,),
    "CorruptEntryError": (errors.DeserializationError,),
    "UnsupportedEntryVersionError": (errors.DeserializationError,),
    "EncryptionError": (ValueError,),
    "DecryptionError": (errors.EncryptionError,),
    "EncryptionVersionError": (errors.EncryptionError,),
    "DecompressionError": (ValueError,),
    "EntryTooLargeError": (ValueError,),
    "EntryTooSmallError": (ValueError,),
    "ReadOnlyError": (errors.UnsupportedOperationError, TypeError),
    "MissingKeyError": (KeyError,),
    "NotACounterError": (TypeError,),
    "CounterOverflowError": (OverflowError,),
    "UnsupportedOperationError": (TypeError,),
    "PartialFailureError": (),
    "StoreError": (),
    "StoreConnectionError": (errors.StoreError, ConnectionError, OSError),
    "CircuitOpenError": (errors.StoreConnectionError,),
    "StoreTimeoutError": (errors.StoreError, TimeoutError, OSError),
    "StoreAuthenticationError": (errors.StoreError, PermissionError),
    "StoreFullError": (errors.StoreError,),
    "StoreProtocolError": (errors.StoreError,),
    "StoreClosedError": (errors.StoreError,),
    "StoreSetupError": (errors.StoreError,),
    "PathSecurityError": (ValueError,),
    "MissingDependencyError": (ImportError,),
    "ConfigurationError": (ValueError,),
}
RETRYABLE = {"StoreConnectionError", "CircuitOpenError", "StoreTimeoutError"}


def classes():
    """Return the names of the errors that the module defines, below their common base."""
    return {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BaseKeyValueError) and value is not BaseKeyValueError
    }


def test_the_tree_is_complete():
    """The module defines these errors and no others, and exports them all."""
    assert classes() == set(TREE)
    assert set(errors.__all__) == {*TREE, "BaseKeyValueError", "Outcome", "Problem"}
    assert errors.__all__ == sorted(errors.__all__)


@pytest.mark.parametrize("name", TREE)
def test_an_error_is_what_people_expect(name):
    """Every error is of our base and of the built-in one that people would catch, and of no more of ours."""
    kind = getattr(errors, name)

    assert issubclass(kind, (BaseKeyValueError, *TREE[name][:1]))
    for base in TREE[name]:
        assert issubclass(kind, base)
    ours = {base for base in kind.__mro__[1:] if issubclass(base, BaseKeyValueError)}
    wanted = {BaseKeyValueError}
    for base in TREE[name]:
        wanted |= {above for above in base.__mro__ if issubclass(above, BaseKeyValueError)}
    assert ours == wanted
    assert kind.__doc__


@pytest.mark.parametrize("name", TREE)
def test_an_error_tells_if_it_may_pass(name):
    """Only what is wrong with the backend for a while may be repeated; unless it says so, nothing was applied."""
    error = getattr(errors, name)("What happened, and what to do.")

    assert error.retryable is (name in RETRYABLE)
    assert error.outcome == "not_applied"
    assert (error.key, error.collection) == (None, None)
    assert str(error) == "What happened, and what to do."
    assert repr(error).startswith(name)


@pytest.mark.parametrize("name", sorted(set(TREE) - {"PartialFailureError", "ConfigurationError"}))
def test_facts_are_attributes_and_survive_pickling(name):
    """Key, collection, outcome and whether to retry are attributes, and go along from process to process."""
    error = getattr(errors, name)("Text.", key="k", collection="c", outcome="unknown", retryable=True)

    for one in (error, pickle.loads(pickle.dumps(error))):
        assert type(one) is type(error)
        assert (str(one), one.message, one.key, one.collection) == ("Text.", "Text.", "k", "c")
        assert (one.outcome, one.retryable) == ("unknown", True)
    assert (type(error).outcome, type(error).retryable) == ("not_applied", name in RETRYABLE)


@pytest.mark.faults(87)
def test_a_partial_failure_adds_up():
    """What was done, what was not and what may have been are told apart, and decide what can be repeated."""
    timeout = errors.StoreTimeoutError("Late.", outcome="unknown")
    away = errors.StoreConnectionError("Away.")
    large = errors.EntryTooLargeError("Large.")

    partly = PartialFailureError(
        "Some failed.", failed={"a": away}, unknown={"b": timeout}, succeeded=["c"], collection="d"
    )
    assert (partly.failed, partly.unknown, partly.succeeded) == ({"a": away}, {"b": timeout}, ("c",))
    assert (partly.outcome, partly.retryable, partly.collection) == ("unknown", True, "d")
    none = PartialFailureError("All failed.", failed={"a": away, "b": large})
    assert (none.outcome, none.retryable) == ("not_applied", False)
    again = pickle.loads(pickle.dumps(partly))
    assert (list(again.failed), list(again.unknown), again.succeeded) == (["a"], ["b"], ("c",))
    assert again.outcome == "unknown"


def test_a_configuration_error_lists_its_problems():
    """One problem is one sentence; several are a list with a heading, each with its place and hint."""
    one = ConfigurationError("timeout is more than 0.")
    assert one.problems == (Problem("", "timeout is more than 0."),)

    several = ConfigurationError(
        problems=[Problem("a.url", "It is no URL.", "Use redis://…"), Problem("b", "Unknown.")]
    )
    assert str(several).splitlines() == [
        "2 problems in the configuration:",
        "  - a.url: It is no URL. Use redis://…",
        "  - b: Unknown.",
    ]
    assert str(ConfigurationError(problems=[Problem("a", "Wrong.")])) == "a: Wrong."
    assert pickle.loads(pickle.dumps(several)).problems == several.problems


def test_a_missing_key_reads_as_a_sentence():
    """A KeyError shows the repr of its text; ours shows the text."""
    assert str(errors.MissingKeyError("There is no 'k'.", key="k")) == "There is no 'k'."


def test_the_docstring_draws_the_tree():
    """Every error is in the module's drawing."""
    assert errors.__doc__ is not None
    for name in TREE:
        assert f"── {name}" in errors.__doc__, name
