"""What is documented is there to be imported, what is public is documented, and imports stay light."""

import importlib
import importlib.resources
import inspect
import pkgutil
import subprocess
import sys

import pytest

import kv_core

SEGMENTS = [
    "ConditionalPut",
    "Cull",
    "Destroy",
    "Enumerate",
    "Increment",
    "KeyValue",
    "Ping",
    "Revisions",
    "Store",
    "Touch",
]

# What each module of a side has for users, beside the names that it imports from elsewhere.
SIDE = {
    "adapters.pydantic": ["PydanticAdapter"],
    "adapters.raise_on_missing": ["RaiseOnMissingAdapter"],
    "protocols": SEGMENTS,
    "protocols.key_value": SEGMENTS,
    "recipes.session_record": ["SessionRecords"],
    "stores.base": ["BaseStore", "Write"],
    "stores.disk": ["DiskStore"],
    "stores.elasticsearch": ["ElasticsearchStore"],
    "stores.memcached": ["MemcachedStore"],
    "stores.memory": ["MemoryStore"],
    "stores.mongodb": ["MongoDBStore"],
    "stores.multi_disk": ["MultiDiskStore"],
    "stores.null": ["NullStore"],
    "stores.redis": ["RedisStore"],
    "stores.simple": ["SimpleStore"],
    "stores.valkey": ["ValkeyStore"],
    "testing": ["StoreContract", "ToldClock"],
    "wrappers": ["BaseWrapper", "Call", "CallWrapper", "NameWrapper", "ValueWrapper"],
    "wrappers.base": ["BaseWrapper", "close_all"],  # the latter is for wrappers of several stores
    "wrappers.circuit_breaker": ["CircuitBreakerWrapper"],
    "wrappers.coalesce": ["CoalesceWrapper"],
    "wrappers.compression": ["CompressionWrapper"],
    "wrappers.default_value": ["DefaultValueWrapper"],
    "wrappers.encryption": ["FernetEncryptionWrapper"],
    "wrappers.encryption.fernet": ["FernetEncryptionWrapper"],
    "wrappers.fallback": ["FallbackWrapper"],
    "wrappers.limit_size": ["LimitSizeWrapper"],
    "wrappers.logging": ["LoggingWrapper"],
    "wrappers.passthrough_cache": ["PassthroughCacheWrapper"],
    "wrappers.prefix_collections": ["PrefixCollectionsWrapper"],
    "wrappers.prefix_keys": ["PrefixKeysWrapper"],
    "wrappers.read_only": ["ReadOnlyWrapper"],
    "wrappers.retry": ["RetryWrapper"],
    "wrappers.routing": ["CollectionRoutingWrapper", "RoutingWrapper"],
    "wrappers.single_collection": ["SingleCollectionWrapper"],
    "wrappers.statistics": ["StatisticsWrapper"],
    "wrappers.timeout": ["TimeoutWrapper"],
    "wrappers.ttl_clamp": ["TTLClampWrapper"],
}
PURE = {
    "capabilities": ["capabilities", "require"],
    "entry": ["Revision"],
    "errors": ["BaseKeyValueError", "ConfigurationError"],
    "signing": ["Signer"],
    "stack": ["StackSpec"],
    "registry": ["Registry"],
    "ttl": ["KEEP", "Clock"],
}
OPTIONAL = {
    *(
        "redis",
        "valkey",
        "diskcache",
        "sqlite3",
        "pymemcache",
        "pymongo",
        "bson",
        "elasticsearch",
        "aiohttp",
        "hiredis",
    ),
    *(
        "cryptography",
        "pydantic",
        "django",
        "starlette",
        "fastapi",
        "flask",
        "opentelemetry",
        "prometheus_client",
        "rich",
    ),
    *("pytest", "importlib.metadata", "urllib.request", "http", "email", "concurrent.futures.process"),
}


def modules():
    """Yield the names of all public modules of the package."""
    for module in pkgutil.walk_packages(kv_core.__path__, "kv_core."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            yield module.name


def own(module):
    """Return the public classes and functions that a module defines."""
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    )


def named(side, names):
    """Return names as a side calls them: the protocols differ."""
    return [f"Async{name}" if side == "aio" and name in SEGMENTS else name for name in names]


@pytest.mark.parametrize("side", ["aio", "sync"])
@pytest.mark.parametrize("path", SIDE)
def test_documented_names_are_there(side, path):
    """Every documented name can be imported from its documented path, on both sides."""
    module = importlib.import_module(f"kv_core.{side}.{path}")

    for name in named(side, SIDE[path]):
        assert callable(getattr(module, name)), name
    assert module.__doc__
    assert len(module.__doc__.splitlines()[0]) <= 120


@pytest.mark.parametrize("path", PURE)
def test_what_both_sides_share_is_there(path):
    """What has no side is imported from the package itself."""
    module = importlib.import_module(f"kv_core.{path}")
    for name in PURE[path]:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("side", ["aio", "sync"])
def test_only_documented_names_are_public(side):
    """A side has no public module, class or function beyond those that are documented."""
    prefix = f"kv_core.{side}."
    found = {}
    for name in modules():
        if name.startswith(prefix):
            names = own(importlib.import_module(name))
            exported = getattr(importlib.import_module(name), "__all__", None)
            if names or exported is not None:
                found[name.removeprefix(prefix)] = names if exported is None else list(exported)

    documented = {path: sorted(named(side, names)) for path, names in SIDE.items()}
    documented["testing"] = ["Advance", "Make", "StoreContract", "ToldClock"]  # two of them are types only
    assert {path: sorted(names) for path, names in found.items()} == documented


@pytest.mark.parametrize("name", list(modules()))
def test_what_is_exported_is_sorted_and_there(name):
    """Where a module says what it exports, the names are sorted, there, and not private."""
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", None)
    if exported is not None:
        assert list(exported) == sorted(set(exported))
        for one in exported:
            assert hasattr(module, one), one
            assert not one.startswith("_")
    assert module.__doc__, f"{name} does not say what it is for"


def test_both_sides_have_the_same_modules():
    """The sides differ in nothing but their name."""
    names = set(modules())
    assert {name.replace(".aio", ".sync") for name in names if ".aio" in name} == {
        name for name in names if ".sync" in name
    }


def imported(statement):
    """Return the modules that a fresh interpreter has after a statement, beyond those for asyncio and msgspec."""
    script = (
        "import sys, asyncio, msgspec, msgspec.json, msgspec.msgpack, typing_extensions; before = set(sys.modules);"
        f"{statement}; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("side", ["aio", "sync"])
def test_a_memory_store_imports_little(side):
    """Importing the memory store imports no driver, no framework, and hardly more than its own modules."""
    found = imported(f"import kv_core.{side}.stores.memory")

    assert not [name for name in found if name in OPTIONAL or name.partition(".")[0] in OPTIONAL]
    assert not [name for name in found if name.startswith("kv_core.") and ("redis" in name or "disk" in name)]
    other = "sync" if side == "aio" else "aio"
    assert not [name for name in found if name.startswith(f"kv_core.{other}")]
    assert len([name for name in found if not name.startswith("kv_core")]) <= 12, found


@pytest.mark.parametrize("side", ["aio", "sync"])
def test_a_wrapper_imports_no_store(side):
    """Importing wrappers and recipes imports no store and no driver."""
    found = imported(
        f"import kv_core.{side}.wrappers.retry, kv_core.{side}.wrappers.timeout, kv_core.{side}.recipes.session_record"
    )

    assert not [name for name in found if name.startswith(f"kv_core.{side}.stores.")]
    assert not [name for name in found if name.partition(".")[0] in OPTIONAL]


def test_the_package_is_typed():
    """Type checkers are told that the package has types."""
    assert (importlib.resources.files("kv_core") / "py.typed").is_file()


@pytest.mark.faults(122)
@pytest.mark.parametrize("framework", ["django", "starlette", "flask"])
def test_a_framework_that_is_missing(framework):
    """Importing an integration without its framework fails, and says what to install."""
    code = f"""
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {framework!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Gone())
import kv_{framework}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    said = f"MissingDependencyError: kv_{framework} needs {framework.title()}: pip install 'kvstack[{framework}]'"
    assert said in done.stderr
