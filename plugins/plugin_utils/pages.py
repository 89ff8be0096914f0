"""HTML pages from the templates of report_page/: one layout (base.html), nothing loaded from elsewhere.

Whatever a template prints is shown (one line, nothing hidden) and then escaped: names come from the disks of dead hosts, and no
place in a template can forget that. Only Markup is printed as it is; this file and reports_rows.data_of() alone make it.
"""
from __future__ import annotations

import base64
import hashlib
import os
from typing import Any

import jinja2
from markupsafe import Markup

from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show

from .sizes import human_bytes

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'report_page')


def _printed(value: Any) -> Any:
    """What an expression of a template becomes before it is escaped."""
    return value if isinstance(value, Markup) else show(value)


def _asset(name: str) -> Markup:
    """A style sheet or script of report_page/, as it is."""
    with open(os.path.join(HERE, name), encoding='utf-8') as stream:
        return Markup(stream.read())    # noqa: S704


def _digest(script: str) -> str:
    """What the Content-Security-Policy calls this inline script."""
    return 'sha256-' + base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')


def _moment(text: Any) -> str:
    """2026-05-06T07:08:09Z as people read it."""
    text = str(text)
    return f'{text[:10]} {text[11:16]} UTC'


def render(name: str, **values: Any) -> str:
    """The page of the template NAME with VALUES: ``report`` (``title``, ``generated``), ``headline``, ``figures`` ([(title, value,
    note, is it bad)]), and what the template itself names.
    """
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), autoescape=True, finalize=_printed, trim_blocks=True,
                                     keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(human=lambda size: human_bytes(size or 0), commas=lambda number: f'{number:,}', moment=_moment,
                               tenth=lambda number: f'{number:.1f}')
    environment.globals.update(asset=_asset, digest=_digest)
    return environment.get_template(name).render(**values)
