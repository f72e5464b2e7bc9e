"""Each error of pymongo has a name of ours, with the outcome that it really has."""

import pytest
from bson.errors import InvalidBSON
from pymongo import errors

from kv_core.errors import (
    CorruptEntryError,
    EntryTooLargeError,
    StoreAuthenticationError,
    StoreConnectionError,
    StoreFullError,
    StoreProtocolError,
    StoreSetupError,
    StoreTimeoutError,
)
from kv_core.mongodb_errors import partial, refused_login, translate

SECRET = "s3cret-canary"


def unselected(why):
    """Return the error for servers of which the client knows *why* none will do."""
    text = f"said, Timeout: 0.3s, Topology Description: <TopologyDescription servers: [<ServerDescription ({why})>]>"
    return errors.ServerSelectionTimeoutError(text)


CASES = [
    (unselected("error=AutoReconnect('refused')"), "Connection", "not_applied", True),
    (unselected("error=NetworkTimeout('timed out')"), "Timeout", "not_applied", True),
    (unselected("No servers found yet"), "Timeout", "not_applied", True),
    (unselected("server_type: RSSecondary"), "Connection", "not_applied", True),
    (errors.WaitQueueTimeoutError("no connection"), "Timeout", "not_applied", True),
    (errors.NetworkTimeout("h: timed out"), "Timeout", "unknown", True),
    (errors.AutoReconnect("h: connection closed"), "Connection", "unknown", True),
    (errors.ConnectionFailure("closed"), "Connection", "unknown", True),
    (ConnectionResetError("reset"), "Connection", "unknown", True),
    (errors.NotPrimaryError("not primary", {"code": 10107}), "Connection", "unknown", True),
    (errors.WTimeoutError("waiting", 64), "Timeout", "unknown", True),
    (errors.WriteConcernError("Not enough data-bearing nodes", 100), "Protocol", "unknown", False),
    (errors.ExecutionTimeout("operation exceeded time limit", 50), "Timeout", "unknown", True),
    (errors.OperationFailure("Authentication failed.", 18), "Authentication", "not_applied", False),
    (errors.OperationFailure("bad auth : Authentication failed.", 8000), "Authentication", "not_applied", False),
    (errors.OperationFailure("not authorized on kv to execute command", 13), "Authentication", "not_applied", False),
    (errors.OperationFailure("you are over your space quota", 8000), "Full", "not_applied", False),
    (errors.OperationFailure("No space left on device", 14031), "Full", "not_applied", False),
    (errors.OperationFailure("index options", 85), "Setup", "not_applied", False),
    (errors.OperationFailure("index keys", 86), "Setup", "not_applied", False),
    (errors.WriteError("Document failed validation", 121), "Setup", "not_applied", False),
    (errors.DuplicateKeyError("E11000 dup key", 11000), "Protocol", "not_applied", True),
    (errors.OperationFailure("WriteConflict", 112), "Protocol", "not_applied", True),
    (errors.WriteError("Resulting document after update is larger", 17419), "EntryTooLarge", "not_applied", False),
    (errors.DocumentTooLarge("BSON document too large"), "EntryTooLarge", "not_applied", False),
    (errors.OperationFailure("what", 9), "Protocol", "unknown", False),
    (errors.ConfigurationError("The DNS query name does not exist"), "Connection", "unknown", True),
    (InvalidBSON("year is out of range"), "Corrupt", "not_applied", False),
    (RuntimeError("what"), "Protocol", "unknown", False),
]
NAMES = {
    "Connection": StoreConnectionError,
    "Timeout": StoreTimeoutError,
    "Authentication": StoreAuthenticationError,
    "Full": StoreFullError,
    "Setup": StoreSetupError,
    "Protocol": StoreProtocolError,
    "EntryTooLarge": EntryTooLargeError,
    "Corrupt": CorruptEntryError,
}


@pytest.mark.parametrize(
    ("error", "name", "outcome", "retryable"),
    CASES,
    ids=lambda case: type(case).__name__,
)
def test_errors_are_named(error, name, outcome, retryable):
    """An error has one name, says whether the operation may have been made, and shows nothing of the server's text."""
    error.args = (*error.args, SECRET)
    found = translate(errors, error, "MongoDBStore")

    assert type(found) is NAMES[name]
    assert (found.outcome, found.retryable) == (outcome, retryable)
    assert str(error.args[0]) not in str(found)
    assert SECRET not in str(found)


@pytest.mark.parametrize("error", [errors.NetworkTimeout("late"), errors.AutoReconnect("closed"), OSError("closed")])
def test_what_was_not_sent_was_not_applied(error):
    """The driver marks what went wrong before a command left."""
    error.kv_unsent = True

    assert translate(errors, error, "MongoDBStore").outcome == "not_applied"


def test_a_refused_login_is_told_from_a_refused_command():
    """Only for the former another login may help."""
    assert refused_login(errors, errors.OperationFailure("no", 18))
    assert not refused_login(errors, errors.OperationFailure("no", 13))
    assert not refused_login(errors, ValueError("no"))


@pytest.mark.faults(87)
def test_parts_of_a_bulk():
    """What the server refused was not made; what it could not confirm is unknown; the rest was made."""
    wrong = {"index": 1, "code": 11000, "errmsg": SECRET}
    doubt = {"code": 64, "errmsg": SECRET}

    found = partial({"writeErrors": [wrong], "writeConcernErrors": []}, ["a", "b", "c"], "kv", "MongoDBStore")
    assert (list(found.failed), list(found.unknown), found.succeeded) == (["b"], [], ("a", "c"))
    assert found.failed["b"].outcome == "not_applied"
    doubtful = partial({"writeErrors": [wrong], "writeConcernErrors": [doubt]}, ["a", "b", "c"], "kv", "MongoDBStore")
    assert (list(doubtful.failed), list(doubtful.unknown), doubtful.succeeded) == (["b"], ["a", "c"], ())
    assert doubtful.unknown["a"].outcome == doubtful.outcome == "unknown"
    assert isinstance(doubtful.unknown["a"], StoreTimeoutError)  # as a single write that waits in vain for a majority
    assert SECRET not in f"{doubtful} {doubtful.failed} {doubtful.unknown}"
