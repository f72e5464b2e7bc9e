"""Tell pytest of the marker that `StoreContract` uses, in every project that has this distribution."""

from __future__ import annotations

from typing import Protocol


class Config(Protocol):
    """What is needed of pytest's configuration, so that pytest is not imported here."""

    def addinivalue_line(self, name: str, line: str) -> None:
        """Add a line to a setting."""
        ...


def pytest_configure(config: Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "faults(number, ...): numbers of the adversarial cases that the test shows")
