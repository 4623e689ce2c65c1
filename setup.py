"""Shim for tools that look for a setup.py; the settings are in pyproject.toml."""

from setuptools import setup

setup()
