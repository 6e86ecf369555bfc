"""Puts the parts of a program together; `adapters` is the only module that chooses them."""
