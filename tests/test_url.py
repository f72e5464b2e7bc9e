"""URLs are read as written, and shown without what is secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kv_core.errors import ConfigurationError
from kv_core.url import Location, parse, path_of, redact

SECRETS = [
    "s3cret",
    "s3cret@home",
    "s3cret:with:colons",
    "s3/cret",
    "s3%40cret",
    "s3%cret",
    "s3?cret",
    "s3#cret",
    "s3@cret/x@y",
    "s3[cret]",
    "s3&cret=1",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("user", ["", "user", "us%40er"])
@pytest.mark.parametrize("rest", ["h", "h:6379/0", "h/0?socket_timeout=1", "a:1,b:2/db", "[::1]:6379/0"])
def test_a_password_is_never_shown(secret, user, rest):
    """Whatever a password holds, nothing of it is left in the text, and the host is."""
    shown = redact(f"cannot use redis://{user}:{secret}@{rest}, sorry")

    for part in ("s3", "cret", "colons", "home"):
        assert part not in shown
    assert rest in shown
    assert shown.startswith("cannot use redis://")
    assert shown.endswith(", sorry")


@pytest.mark.parametrize(
    "option", ["password", "PASSWORD", "ssl_password", "secret", "token", "api_key", "client_secret", "key"]
)
def test_a_secret_in_the_query_is_never_shown(option):
    """The value of an option that names a secret is not shown; others are."""
    shown = redact(f"redis://h/0?db=1&{option}=s3cret%20x&timeout=5 and on")

    assert "s3cret" not in shown
    assert "db=1" in shown
    assert shown.endswith("&timeout=5 and on")


def test_every_url_in_a_text_is_redacted():
    """A text may hold several URLs, and other text stays as it is."""
    assert "s3cret" not in redact("from redis://:s3cret@a to redis://u:s3cret@b/1?password=s3cret")
    for plain in ("redis://h:6379/0", "a@b.example writes", "memory://", "no url", "disk:///var/lib?x=1", ""):
        assert redact(plain) == plain


@given(
    secret=st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=3).map(
        lambda text: f"§{text}§"
    )
)
def test_no_password_slips_through(secret):
    """Any password without a space in it is redacted whole."""
    assert "§" not in redact(f"redis://user:{secret}@host:6379/0")


def test_the_parts_of_a_url():
    """Scheme, address, path and options are told apart, and the options are percent-decoded."""
    location = parse("REDIS://u:p%40ss@h:6379/0?name=a%20b&empty=")

    assert location == Location("redis", "u:p%40ss@h:6379", "/0", {"name": "a b", "empty": ""})
    assert location.url() == "redis://u:p%40ss@h:6379/0?name=a+b&empty="
    assert location.url({}) == "redis://u:p%40ss@h:6379/0"
    assert "p%40ss" not in repr(location)


@pytest.mark.parametrize(
    "url",
    ["memory://", "memory://?name=a", "disk:///var/lib/kv", "disk://./data", "redis://a:1,b:2/0", "redis://[::1]:1/0"],
)
def test_a_url_is_written_as_it_was_read(url):
    """Reading and writing a URL gives it back."""
    assert parse(url).url() == url


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("disk:///var/lib/kv", "/var/lib/kv"),
        ("disk://./data", "./data"),
        ("disk://data/x", "data/x"),
        ("disk:///a%20b/%C3%A9", "/a b/é"),
    ],
)
def test_paths(url, path):
    """The path of a file store is what stands behind the scheme, percent-decoded."""
    assert path_of(parse(url)) == path


@pytest.mark.faults(118)
@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "localhost:6379",
        None,
        7,
        b"redis://h",
        "redis://:s3cret@h:port",
        "redis://:s3cret@h:99999",
        "redis://:s3cret@[::1",
        "redis://:s3cret@h?a",
        "redis://:s3cret@h?a=1&a=2",
        "redis://:s3cret@h/0#x",
        "redis://:s3cret#x@h/0",
    ],
)
def test_what_is_no_url_is_refused(url):
    """What cannot be read as a URL is refused, and no error shows a password, nor the one that it came from."""
    with pytest.raises(ConfigurationError) as caught:
        parse(url)

    error = caught.value
    while error is not None:
        assert "s3cret" not in f"{error} {error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
