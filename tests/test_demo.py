"""The demo holds what it promises: end to end, with real servers, and nothing left behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

for needed in ("django", "fastapi", "flask", "diskcache", "gunicorn", "uvicorn", "pydantic_settings"):
    pytest.importorskip(needed)

ROOT = Path(__file__).parents[1]
CHECKS = 10


@pytest.fixture
def projects(tmp_path):
    """A copy of the examples, so that kv_core is the installed one, and a test may break them."""
    ignore = shutil.ignore_patterns("__pycache__", "*.sqlite3", ".venv")
    shutil.copytree(ROOT / "example_projects", tmp_path / "example_projects", ignore=ignore)
    return tmp_path


def environment(folder, **more):
    """An environment without settings for stores, whose temporary files are the test's own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KV_")}
    (folder / "tmp").mkdir(exist_ok=True)
    return clean | {"TMPDIR": str(folder / "tmp"), "PYTHONIOENCODING": "utf-8"} | more


def run(folder, *words, **more):
    """Run the demo to its end; return its status and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "example_projects.demo", *words],
        cwd=folder,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    return done.returncode, done.stdout + done.stderr


def left_over(folder):
    """Return what still runs of the copy of the examples in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            where = (entry / "cwd").readlink()
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if where.is_relative_to(folder):
            found.append(words)
    return found


def assert_nothing_left(folder, seconds=5):
    """Fail if a server still runs after some seconds, or a file is left."""
    until = time.monotonic() + seconds
    while left_over(folder) and time.monotonic() < until:
        time.sleep(0.05)
    assert left_over(folder) == []


@contextmanager
def serving(folder):
    """The demo with --serve, once it says what to try; it is killed in the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "example_projects.demo", "--serve"],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if "what that process asked" in line:
                break
        yield process, "".join(said)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_demo_on_disk(projects):
    """From nothing: every check passes within a minute, and neither process nor file is left."""
    start = time.monotonic()

    status, said = run(projects)

    assert status == 0, said
    assert time.monotonic() - start < 60
    assert said.count("✓") == CHECKS, said
    assert "on disk" in said
    assert re.search(r"notes +Flask, gunicorn +\d+ +[\d.]+ ms +[\d.]+ ms +\d+ +\d+ +\d+ +\d+%", said), said
    assert_nothing_left(projects, seconds=0)
    assert list((projects / "tmp").glob("kvstack-demo-*")) == []


def test_demo_on_redis(projects, redis_server):
    """With KV_URL the stores are in Redis, and none of the demo's keys stays there."""
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        before = set(client.scan_iter())

        status, said = run(projects, KV_URL=redis_server.url)

        assert status == 0, said
        assert said.count("✓") == CHECKS, said
        assert [key for key in client.scan_iter() if key not in before and b"demo-" in key] == []
    assert_nothing_left(projects, seconds=0)


def test_demo_on_a_relative_disk(projects):
    """The applications run in folders of their own, and mean the same one by a relative path."""
    status, said = run(projects, KV_URL="disk://./kept")

    assert status == 0, said
    assert f"The stores are disk://{projects}/kept" in said
    assert [path.parent for path in projects.rglob("kept")] == [projects]


def test_serve_until_interrupted(projects):
    """With --serve the applications run on their addresses until Ctrl-C, which is a good end."""
    with serving(projects) as (process, said):
        urls = re.findall(r"at (http://127.0.0.1:\d+)", said)
        answers = [httpx.get(f"{url}/stats").json()["application"] for url in urls]
        assert answers == ["shop", "shop", "links", "notes"], said

        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()

        assert process.wait(10) == 0, rest
    assert_nothing_left(projects, seconds=0)
    assert list((projects / "tmp").glob("kvstack-demo-*")) == []


def test_terminated_while_it_runs(projects):
    """SIGTERM in the middle ends it with a status that is not success, and no server is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "example_projects.demo"],
        cwd=projects,
        env=environment(projects),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        for line in process.stdout:
            if line.startswith("Starting notes"):
                break
        process.terminate()
        rest = process.stdout.read()

    assert process.returncode == 130, rest
    assert "Stopped before the end." in rest
    assert_nothing_left(projects)  # a worker that was just started may end a moment later


@pytest.mark.skipif(
    shutil.which("setpriv") is None, reason="only where setpriv is there do servers end with a killed parent"
)
def test_killed_while_it_serves(projects):
    """Even when the demo is killed its servers end."""
    with serving(projects) as (process, _):
        assert left_over(projects)

        process.kill()

        assert_nothing_left(projects)


def test_an_application_that_does_not_start(projects):
    """The demo says which server failed, shows the end of its log, and exits with 2."""
    with (projects / "example_projects/flask_notes/notes.py").open("a") as source:
        source.write('\nraise RuntimeError("planted")\n')

    status, said = run(projects)

    assert status == 2, said
    assert "notes ended at once" in said
    assert "RuntimeError: planted" in said
    assert_nothing_left(projects, seconds=0)


def test_checks_can_fail(projects):
    """Applications that lose a ttl and an update are found out, each by its check, with status 1.
    With --keep their data and logs stay.
    """
    source = projects / "example_projects/flask_notes/notes.py"
    text = source.read_text()
    text = text.replace('kv["shared"].put("announcement", value, ttl=ttl)', 'kv["shared"].put("announcement", value)')
    lossy = """
    visits = (kv["shared"].get("visits") or {"value": 0})["value"] + 1
    kv["shared"].put("visits", {"value": visits})
    return {"visits": visits}
"""
    source.write_text(text.replace('    return {"visits": kv["shared"].increment("visits", initial=0)}', lossy))

    status, said = run(projects, "--keep")

    assert status == 1, said
    assert re.findall(r"✗ (.*?)  ", said) == [
        "What has a ttl ends on time, in every application",
        "Counting at once from all applications loses nothing",
    ], said
    assert "visits were lost" in said
    assert "last lines" not in said  # there are none to show
    kept = Path(re.search(r"Data and logs are in (\S+)", said)[1])
    assert {"store", "shop.sqlite3", "notes.log"} <= {path.name for path in kept.iterdir()}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://:hunter2@127.0.0.1:1/0", "the server cannot be reached"),
        ("memory://", "processes do not share"),
        ("simple://", "processes do not share"),
        ("null://", "keeps nothing"),
        ("redsi://:hunter2@localhost", "KV_URL: no store has the scheme 'redsi'. Did you mean 'redis'?"),
    ],
)
def test_stores_that_cannot_be_used(projects, url, reason):
    """Without usable stores the demo says why before it starts anything, and shows no password."""
    status, said = run(projects, KV_URL=url)

    assert status == 2
    assert said.count(reason) == 1, said
    assert "hunter2" not in said
    assert "Starting" not in said


def test_help(projects):
    """--help names the options and KV_URL."""
    status, said = run(projects, "--help")

    assert status == 0
    assert all(word in said for word in ("--serve", "--keep", "KV_URL"))
