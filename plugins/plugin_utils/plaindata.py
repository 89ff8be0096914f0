"""Ansible's values as plain dict, list, str, int, float, bool and None.

jmespath asks for the exact type of a value, and Ansible hands out subclasses (AnsibleUnicode, AnsibleUnsafeText,
tagged strings) and lazy containers.
"""
from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence, Set
from typing import Any


def plain(value: Any) -> Any:
    """A deep copy of VALUE without Ansible's types. TypeError for a type that JSON does not have."""
    kind = type(value)
    if kind is str or value is None or kind is bool or kind is int or kind is float:
        return value
    if kind is dict:
        return {(key if type(key) is str else _text(key)): plain(item) for key, item in value.items()}  # pylint: disable=unidiomatic-typecheck
    if kind is list:
        return [plain(item) for item in value]
    if isinstance(value, str):
        return ''.join(value)
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        return bytes(value).decode('utf-8', 'backslashreplace')
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {_text(key): plain(item) for key, item in value.items()}
    if isinstance(value, (Sequence, Set)):
        return [plain(item) for item in value]
    raise TypeError(f'a value of type {kind.__name__} is neither text, number, list nor dictionary')


def _text(key: Any) -> str:
    return ''.join(key) if isinstance(key, str) else str(key)
