"""Every Python example in README.md and docs/ runs, and prints what it says; `pages.py` says how they are read."""

import json
import os
import re
import subprocess
import sys
import tomllib
from textwrap import dedent
from urllib.parse import urlsplit

import pages
import pytest
from pages import EXAMPLE_URLS, ROOT, blocks_of, name_of

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_EXAMPLES = [page for page in PAGES if any(block.language == "python" for block in blocks_of(page))]

NOT_RUN: set[tuple[str, str]] = set()
"""The page and the reason of every block that is not run."""

LANGUAGES = {"python", "text", "console", "toml", "html", "json"}

CHECKS = {
    "README.md": """
import os
from fastapi.testclient import TestClient
from kv_core.sync.stores.redis import RedisStore
from kv_django import close_stores, stores
import app, main, settings
from stores import KV_STORES

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
settings.KV_STORES, settings.SECRET_KEY = KV_STORES, "for this check"
from django.core.cache import cache

stores["default"].put("lamp", {"price": 10})
cache.set("greeting", "hello")
assert cache.get("greeting") == "hello"
with TestClient(main.app) as client:
    assert client.get("/items/lamp").json() == {"price": 10}
assert app.app.test_client().get("/items/lamp").json == {"price": 10}
close_stores()
""",
    "docs/testing.md": """
import subprocess, sys

done = subprocess.run([sys.executable, "-m", "pytest", "-q", "test_dict_store.py"], capture_output=True, text=True)
assert done.returncode == 0 and " passed" in done.stdout, done.stdout + done.stderr
""",
}
"""What is checked after the blocks of a page, in its folder: what the page says of the files that it writes."""


def run(page, folder, urls=None):
    """Run a page in a process of its own; warnings are errors."""
    words = [pages.__file__, str(page), json.dumps(urls or {}), CHECKS.get(name_of(page), "")]
    command = [sys.executable, "-P", "-W", "error", *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KV_", "DJANGO_"))}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: name_of(page).removesuffix(".md").replace("/", "-"))
def test_examples_run(page, tmp_path, request):
    """The examples of a page run, print what they say, and leave nothing behind that Python warns of."""
    code = "".join(block.body for block in blocks_of(page) if block.language == "python")
    urls = {}
    for kind, written in EXAMPLE_URLS.items():
        if written in code:
            server = urlsplit(request.getfixturevalue(f"own_{kind}").url)
            urls[written] = urlsplit(written)._replace(netloc=server.netloc).geturl()
            urls[f'"{urlsplit(written).netloc}"'] = f'"{server.netloc}"'  # as clients of others take it

    done = run(page, tmp_path, urls)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_few_examples_are_not_run():
    """Every block that is not run is known here, with its reason."""
    found = {
        (name_of(block.page), block.not_run)
        for page in PAGES
        for block in blocks_of(page)
        if block.language == "python" and block.not_run
    }

    assert found == NOT_RUN


def test_every_block_is_understood():
    """Each fence opens with a language known here, and is closed; so no example is passed over."""
    for page in PAGES:
        blocks = blocks_of(page)
        fences = re.findall(r"^ *(?:```|~~~)", page.read_text(), re.MULTILINE)

        assert len(fences) == 2 * len(blocks), page
        assert {block.language for block in blocks} <= LANGUAGES, page
        assert {block.title for block in blocks if block.language == "python"} <= {"", "async"}, page


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("```python\nprint(1)  # prints: 2\n```\n", "page.md:2"),
        ("```python\nprint(1)\n```\n", "page.md:2"),
        ("```python\nx = 1  # prints: 1\n```\n", "page.md:2"),
        ('```python\nprint(1)\n```\n```text title="output"\n2\n```\n', "page.md:2"),
        ("Text.\n\n```python\n\nassert 1 == 2\n```\n", 'page.md", line 5'),
        ("```python\nimport asyncio\nawait asyncio.sleep(0)\n```\n", "SyntaxError"),
        ("```python\n# module.py\nassert False\n```\n", "AssertionError"),
        ("```python\nx = open('file', 'w')\ndel x\n```\n", "ResourceWarning"),
    ],
    ids=["wrong", "unannounced", "silent", "block", "assertion", "await", "file", "warning"],
)
def test_a_wrong_example_fails(tmp_path, page, complaint):
    """A page that says what is not so fails, and the failure names the place."""
    (tmp_path / "page.md").write_text(page)

    done = run(tmp_path / "page.md", tmp_path)

    assert complaint in done.stderr


def test_right_examples_pass(tmp_path):
    """Comments, output blocks, indented blocks, files and awaiting are understood."""
    page = """
        ```python
        # module.py
        x = 1
        ```

        === "sync"

            ```python
            import module
            print(module.x)  # prints: 1
            print(["a", "# prints: b"])  # prints: ['a', ...]
            ```

        === "async"

            ```python title="async"
            import asyncio
            module = await asyncio.sleep(0, "mine")
            print(module)
            ```

            ```text title="output"
            mine
            ```

        ```python
        print(module.x)  # prints: 1
        ```
    """
    (tmp_path / "page.md").write_text(dedent(page))

    done = run(tmp_path / "page.md", tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_kind_has_a_page():
    """Each store and each wrapper that settings can name has a page, and a link to it from the list of its kind."""
    from kv_core.kinds import STORES, WRAPPERS

    stores = {kind.sync.split(".")[-2] for kind in STORES.values()}
    wrappers = {kind.sync.split(".")[-2] for kind in WRAPPERS.values()}
    for folder, names in (("stores", stores), ("wrappers", wrappers)):
        index = (ROOT / "docs" / folder / "index.md").read_text()
        for name in names:
            page = f"{name.replace('_', '-')}.md"

            assert (ROOT / "docs" / folder / page).is_file()
            assert f"]({page})" in index


def test_every_scheme_and_every_extra_is_listed():
    """The settings' page lists each scheme that chooses a store, and each extra is where one installs."""
    from kv_core.kinds import STORES

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    later = {"memory", "all", "otel", "prometheus", "cli"}  # nothing to install, or nothing that needs it yet
    settings = (ROOT / "docs/settings.md").read_text()

    assert [scheme for scheme in STORES if f"`{scheme}`" not in settings] == []
    for page in ("README.md", "docs/getting-started.md"):
        text = (ROOT / page).read_text()
        assert [extra for extra in extras.keys() - later if f"`{extra}`" not in text] == [], page


def test_every_adapter_has_a_page():
    """Each adapter has a page, and a link to it from the list of adapters."""
    index = (ROOT / "docs/adapters/index.md").read_text()
    modules = [path.stem for path in (ROOT / "kv_core/aio/adapters").glob("[a-z]*.py")]

    assert modules
    for name in modules:
        page = f"{name.replace('_', '-')}.md"

        assert (ROOT / "docs/adapters" / page).is_file()
        assert f"]({page})" in index


def test_links_of_the_readme_lead_somewhere():
    """The files that README.md points at exist; the pages' own links are checked when they are built."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text())

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
