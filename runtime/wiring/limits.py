"""Bounds that other modules want as their own value, from the settings."""

from __future__ import annotations

from runtime.package.check import PackageLimits
from runtime.settings import Settings


def package_limits(settings: Settings) -> PackageLimits:
    """Bounds of one code package."""
    return PackageLimits(
        zip_max_bytes=settings.package_zip_max_bytes,
        unpacked_max_bytes=settings.package_unpacked_max_bytes,
        entries_max=settings.package_entries_max,
        ratio_max=settings.package_ratio_max,
    )
