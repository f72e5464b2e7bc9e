"""What is signed for a place is accepted there, with a current or former secret, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kv_core.errors import ConfigurationError, CorruptEntryError
from kv_core.signing import SIGNATURE_SIZE, Signer

PAYLOAD = st.binary(max_size=60)
PLACE = st.text(st.characters(codec="utf-8"), max_size=20)


@given(payload=PAYLOAD, place=PLACE)
def test_what_was_signed_is_verified(payload, place):
    """The payload comes back where it was signed for."""
    signer = Signer(["secret"], purpose="tests")
    signed = signer.sign(payload, place=place)

    assert signer.verify(signed, place=place) == payload
    assert len(signed) == SIGNATURE_SIZE + len(payload)


@given(payload=PAYLOAD, place=PLACE, other=PLACE, data=st.data())
def test_what_was_changed_is_refused(payload, place, other, data):
    """One changed or missing byte, another place, secret or purpose: refused."""
    signer = Signer(["secret"], purpose="tests")
    signed = bytearray(signer.sign(payload, place=place))
    for wrong in (Signer(["other"], purpose="tests"), Signer(["secret"], purpose="others")):
        with pytest.raises(CorruptEntryError):
            wrong.verify(bytes(signed), place=place)
    if other != place:
        with pytest.raises(CorruptEntryError):
            signer.verify(bytes(signed), place=other)
    with pytest.raises(CorruptEntryError):
        signer.verify(bytes(signed[: data.draw(st.integers(0, len(signed) - 1))]), place=place)
    signed[data.draw(st.integers(0, len(signed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CorruptEntryError):
        signer.verify(bytes(signed), place=place)


def test_place_and_payload_do_not_run_together():
    """Bytes cannot wander from the place to the payload."""
    signer = Signer(["secret"], purpose="tests")
    signed = signer.sign(b"bc", place="a")

    with pytest.raises(CorruptEntryError):
        signer.verify(signed[:SIGNATURE_SIZE] + b"c", place="ab")


def test_secrets_rotate():
    """The first secret signs, and what any of them signed is accepted, until it leaves the list."""
    old, new = Signer(["old"], purpose="tests"), Signer([b"new", "old"], purpose="tests")
    signed = old.sign(b"payload", place="p")

    assert new.verify(signed, place="p") == b"payload"
    assert Signer(["new"], purpose="tests").verify(new.sign(b"payload", place="p"), place="p") == b"payload"
    with pytest.raises(CorruptEntryError):
        Signer(["new"], purpose="tests").verify(signed, place="p")


def test_an_error_shows_the_place_only():
    """The error names the place; neither payload nor secret is shown, nor by the signer itself."""
    signer = Signer(["s3cret"], purpose="tests")
    with pytest.raises(CorruptEntryError, match="'place'") as caught:
        signer.verify(b"x" * 40 + b"canary", place="place")

    assert caught.value.key == "place"
    assert "canary" not in str(caught.value)
    assert "s3cret" not in repr(signer)


@pytest.mark.parametrize("secrets", [[], [""], ["a", ""], [b""], None, "s3cret", b"s3cret"])
def test_secrets_are_not_empty(secrets):
    """Without a secret, or with an empty one, nothing is signed; nor with one whose letters would be the secrets."""
    with pytest.raises(ConfigurationError, match="secret"):
        Signer(secrets, purpose="tests")
