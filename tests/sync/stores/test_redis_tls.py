# Written by tools/mirror.py from tests/aio/stores/test_redis_tls.py: change that file instead.
"""RedisStore and ValkeyStore with TLS: what is trusted, and that nothing goes in the clear."""

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from proxy import Misbehaving
from servers import KINDS
from servers.base import free_port
from servers.redis_sets import SLOTS, cluster_port, say, until

from kv_core.errors import StoreConnectionError, StoreTimeoutError


def certificate(folder, name, address):
    """Write a certificate that vouches for itself, and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    return paths


@pytest.fixture
def start_secure(family, tmp_path, untested):
    """A function that starts a server which speaks TLS on a second port.

    It returns the server, that port, its certificate, which it trusts itself, and the key.
    """
    started = []

    def start(port_of=free_port, **further):
        kind = KINDS[family.name]
        trusted, key = certificate(tmp_path, "server", "127.0.0.1")
        port = port_of()
        options = {"--tls-port": port, "--tls-cert-file": trusted, "--tls-key-file": key, "--tls-ca-cert-file": trusted}
        options |= {"--tls-auth-clients": "optional"}
        options |= {f"--{name.replace('_', '-')}": value for name, value in further.items()}
        binary, where = next(kind.binaries(), (None, ""))
        if binary is None:
            pytest.skip(f"no {kind.label} of our own")
        try:
            started.append(kind.with_options(options, port=port_of).start_binary(binary, where))
        except OSError:
            untested(family.name, f"TLS: the {where} has none")
        return started[-1], port, trusted, key

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def secure(start_secure):
    """The port, the certificate and the key of a server that speaks TLS."""
    return start_secure()[1:]


@pytest.mark.faults(117)
def test_tls(family, secure):
    """With a certificate that is trusted the store works, and a client's own certificate is taken from the URL."""
    port, trusted, key = secure
    url = f"{family.library.dialect.secure}://127.0.0.1:{port}/3?ssl_ca_certs={trusted}"
    for options in ("", "&ssl_check_hostname=true", f"&ssl_certfile={trusted}&ssl_keyfile={key}"):
        with family.store(url=url + options) as store:
            store.put_many(["key", "bytes"], [{"n": 1}, {"raw": b"\0"}], ttl=60)
            assert store.get_many(["key", "bytes"]) == [{"n": 1}, {"raw": b"\0"}]


@pytest.mark.faults(117)
def test_a_certificate_that_is_not_trusted(family, secure, tmp_path):
    """A server that cannot show whom it is, or is somebody else, gets no request."""
    port, trusted, _ = secure
    other, _ = certificate(tmp_path, "other", "127.0.0.1")
    scheme = family.library.dialect.secure
    for url in (f"{scheme}://127.0.0.1:{port}?ssl_ca_certs={other}", f"{scheme}://127.0.0.1:{port}"):
        with family.store(url=url) as store:
            with pytest.raises(StoreConnectionError) as caught:
                store.put("key", {"n": 1})
            assert caught.value.outcome == "not_applied"
    with family.store(url=f"{scheme}://localhost:{port}?ssl_ca_certs={trusted}&ssl_check_hostname=true") as store:
        with pytest.raises(StoreConnectionError):
            store.put("key", {"n": 1})


@pytest.mark.faults(117)
def test_nothing_goes_in_the_clear(family, secure):
    """What passes on the wire shows neither key nor value nor password; a plain URL does not reach the TLS port."""
    port, trusted, _ = secure
    seen = []

    class Listening(Misbehaving):
        def _ask(self, data, client, server):
            seen.append(data)
            return super()._ask(data, client, server)

    proxy = Listening("127.0.0.1", port)
    try:
        scheme = family.library.dialect.secure
        with family.store(url=f"{scheme}://127.0.0.1:{proxy.port}?ssl_ca_certs={trusted}") as store:
            store.put("canary", {"text": "canary"})
            assert store.get("canary") == {"text": "canary"}
        assert b"".join(seen)
        assert b"canary" not in b"".join(seen)
    finally:
        proxy.close()
    plain = family.library.dialect.scheme
    with family.store(url=f"{plain}://127.0.0.1:{port}", timeout=1) as store:
        with pytest.raises((StoreConnectionError, StoreTimeoutError)):
            store.get("key")


@pytest.mark.faults(105, 117)
def test_tls_on_a_cluster(family, start_secure):
    """Each node is reached with TLS, by a URL and by the options of a client that is passed in, if it is trusted."""
    node, port, trusted, _ = start_secure(cluster_port, cluster_enabled="yes", tls_cluster="yes")
    say(node, "CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
    until(lambda: say(node, "CLUSTER INFO")["cluster_state"] == "ok")
    scheme = family.library.dialect.secure
    client = family.library.cluster(host="127.0.0.1", port=port, ssl=True, ssl_ca_certs=str(trusted))
    with (
        client,
        family.store(client=client) as passed,
        family.store(url=f"{scheme}+cluster://127.0.0.1:{port}?ssl_ca_certs={trusted}") as told,
        family.store(url=f"{scheme}+cluster://127.0.0.1:{port}", timeout=1) as distrustful,
    ):
        for store in (passed, told):
            store.put_many(["key", "other"], [{"n": 1}, {}])
            assert store.get_many(["key", "other"]) == [{"n": 1}, {}]
            assert list(store._clients.current()._servers) == [f"127.0.0.1:{port}"]
        with pytest.raises(StoreConnectionError) as caught:
            distrustful.put("key", {"n": 2})
        assert caught.value.outcome == "not_applied"
        assert client.ping()
