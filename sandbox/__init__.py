"""Runs one function in isolation. Knows no queue, no store and no network service of Yunhan."""
