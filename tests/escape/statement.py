"""Who the suite's process is to the kernel, and what a function is on each rung: said in every session."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from sandbox.capabilities import NAMES, lacking

PROPERTY = "rung_statement"
"""Under this name a report says what one rung is like here."""


def pytest_report_header() -> str:
    return f"isolation: {machine_statement()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for each in terminalreporter.stats.values() for report in each]
    said = {
        str(value)
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY
    }
    if said:
        terminalreporter.section("isolation")
        terminalreporter.write_line(machine_statement())
        for line in sorted(said):
            terminalreporter.write_line(line)


def machine_statement() -> str:
    """Kernel, uid, privileges and control groups of this process."""
    parts = [f"{platform.system()} {platform.release()} {platform.machine()}"]
    if hasattr(os, "geteuid"):
        parts.append(f"uid {os.geteuid()}")
    if platform.system() == "Linux":
        missing = lacking(*NAMES)
        parts += [
            f"without {', '.join(missing)}" if missing else "all capabilities of the rungs",
            f"CapEff {_status('CapEff')}",
            f"seccomp {_status('Seccomp')}",
            f"control groups {_cgroup_version()}",
            f"user namespaces {_read('/proc/sys/user/max_user_namespaces')}",
        ]
    return ", ".join(parts)


def _status(name: str) -> str:
    for line in _read("/proc/self/status").splitlines():
        if line.startswith(f"{name}:"):
            return line.split()[1]
    return "unknown"


def _cgroup_version() -> str:
    mount = Path("/sys/fs/cgroup")
    if (mount / "cgroup.controllers").exists():
        return "version 2"
    return "version 1" if (mount / "memory").is_dir() else "absent"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
