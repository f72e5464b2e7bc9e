"""The servers that tests start answer, obey and go away."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from servers import EMBEDDED, KINDS

HERE = Path(__file__).parent


def run_pytest(folder, source, *options, **environment):
    """Run a test file beside our conftest in a project of its own."""
    (folder / "conftest.py").write_text((HERE / "conftest.py").read_text())
    (folder / "test_it.py").write_text(textwrap.dedent(source))
    (folder / "pytest.ini").write_text(f"[pytest]\naddopts = --import-mode=importlib\npythonpath = {HERE}\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KV_")}
    clean["TMPDIR"] = str(folder)  # a run that is killed leaves its servers' folders
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "test_it.py"]
    done = subprocess.run(
        command, cwd=folder, env=clean | environment, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr + done.stdout


def alive(pid):
    """Tell whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_shared_server_answers(redis_server):
    """The session's Redis tells its version, which the summary repeats."""
    version = KINDS["redis"].version(redis_server.url)

    assert version in redis_server.description
    assert redis_server.port


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_can_be_had(request, name):
    """Each kind of server that the tests know answers, with the version that it says it has."""
    server = request.getfixturevalue(f"{name}_server")

    assert KINDS[name].version(server.url) in server.description


def test_a_private_server_can_be_frozen_and_killed(own_redis):
    """A frozen server accepts and says nothing; a killed one is gone."""
    redis = KINDS["redis"]
    own_redis.freeze()
    with pytest.raises(TimeoutError):
        redis.version(own_redis.url)
    own_redis.thaw()
    assert redis.version(own_redis.url)

    own_redis.kill()

    assert not alive(own_redis.pid)
    with pytest.raises(ConnectionRefusedError):
        redis.version(own_redis.url)


def test_a_frozen_server_ends_with_the_run(tmp_path):
    """No process is left when a test forgets to thaw its server, and the summary names the server."""
    status, output = run_pytest(
        tmp_path,
        """
        def test_it(redis_server, own_redis):
            own_redis.freeze()
            if redis_server.process is not None:
                redis_server.freeze()
            print("pids", own_redis.pid, redis_server.pid or own_redis.pid)
            assert 0
        """,
    )

    pids = [int(word) for word in next(line for line in output.splitlines() if line.startswith("pids")).split()[1:]]
    assert (status, [alive(pid) for pid in pids]) == (1, [False, False])
    assert "redis            Redis " in output
    assert re.fullmatch(r"=+ 1 failed in .* =+", output.splitlines()[-1])


def test_a_killed_run_leaves_no_server(tmp_path):
    """Even SIGKILL to the test run ends its servers."""
    if os.uname().sysname != "Linux":
        pytest.skip("only Linux ends a child with its parent")
    _, output = run_pytest(
        tmp_path,
        """
        import os, signal, sys
        def test_it(own_redis):
            os.write(2, b"")
            with open("pid", "w") as file:
                file.write(str(own_redis.pid))
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    pid = int((tmp_path / "pid").read_text())

    for _ in range(200):
        if not alive(pid):
            break
        subprocess.run(["sleep", "0.01"], check=True)

    assert not alive(pid), output


def test_no_server_is_named_and_skipped(tmp_path):
    """Without any server its tests skip, and the summary says what was tried."""
    source = """
        import servers.base
        import servers.redis
        servers.redis.Redis.binaries = lambda self: iter(())
        servers.base.docker_answers = lambda: False
        def test_it(redis_server): pass
        def test_memory(): pass
        """

    status, output = run_pytest(tmp_path, source)
    required, failed = run_pytest(tmp_path, source, KV_REQUIRE_SERVERS="all")

    assert (status, required) == (0, 1)
    assert "redis            NOT RUN: no Docker engine answers; no Redis server is installed (1 skipped)" in output
    assert "memory           embedded (1 passed)" in output
    lacking = re.findall(r"^(\w+) is required by KV_REQUIRE_SERVERS", failed, re.MULTILINE)
    assert lacking == [name for name in (*EMBEDDED, *KINDS) if name != "memory"]


def test_a_given_url_is_used_and_never_skipped(tmp_path, own_redis):
    """KV_TEST_REDIS_URL comes first; when nothing answers there, the tests fail."""
    source = "def test_it(redis_server): assert redis_server.pid is None"

    status, output = run_pytest(tmp_path, source, KV_TEST_REDIS_URL=own_redis.url)
    own_redis.kill()
    dead, _ = run_pytest(tmp_path, source, KV_TEST_REDIS_URL=own_redis.url)

    assert (status, dead) == (0, 1)
    assert "from KV_TEST_REDIS_URL (1 passed)" in output


def test_several_processes_have_one_summary(tmp_path):
    """What each process of pytest-xdist met is added up, what is required counts once, and the closing line is last."""
    source = """
        import pytest, time
        @pytest.mark.parametrize("number", range(6))
        def test_it(redis_server, met, number, worker_id):
            met.sections["workers"][:] = [worker_id]
            time.sleep(0.2)
        def test_memory(untested): untested("memory", "nothing")
        """

    status, output = run_pytest(tmp_path, source, "-n2", "--dist=worksteal", KV_REQUIRE_SERVERS="redis,memory")
    lacking, failed = run_pytest(tmp_path, source, "-n2", KV_REQUIRE_SERVERS="redis,disk")

    assert (status, lacking) == (1, 1)  # the one test of memory was skipped
    assert re.search(r"^redis +Redis .* \(6 passed\)$", output, re.MULTILINE)
    assert "memory           embedded (1 skipped)\n                 untested: nothing\n" in output
    assert re.search(r"^=+ workers =+\ngw0\ngw1\n", output, re.MULTILINE)
    assert "memory is required by KV_REQUIRE_SERVERS" in output
    assert "disk is required by KV_REQUIRE_SERVERS" in failed
    assert re.fullmatch(r"=+ 6 passed, 1 skipped in .* =+", output.splitlines()[-1])


def test_given_servers_are_met_by_one_process(tmp_path, own_redis):
    """Nobody else's server is emptied by one process while another one uses it."""
    source = "def test_it(redis_server, worker_id): assert worker_id == 'master'"

    status, output = run_pytest(tmp_path, source, "-nauto", KV_TEST_REDIS_URL=own_redis.url)

    assert status == 0, output
