"""Files of the engine outside of its data root: the pid file, and daemon.json, which is changed only where its code is named."""
import json
import re
from typing import Any, Dict, Optional

from ..disk import host as hosts
from ..formats import wording
from . import steps
from .plan import Plan

CODES = {
    'PID_FILE': steps.Code('The pid file of a dockerd that is dead names a living process; dockerd does not start.',
                           'Removes the file if that process is no dockerd.'),
    'DAEMON_JSON': steps.Code('daemon.json cannot be parsed, or has the old key "graph"; dockerd does not start.',
                              'Takes out comments, commas before a closing bracket and a byte order mark; an empty file becomes {}; "graph" becomes '
                              '"data-root". No value is changed or guessed. Only where the code is named.'),
}
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=\s*(?:(?://[^\n]*\s*|/\*.*?\*/\s*)*)[}\]])', re.S)
_GRAPH = re.compile(rb'"graph"(\s*:)')


def plan(this: Plan) -> None:
    """Plan for the files that view.top (tops.Tops) names."""
    _pid_file(this, this.view.top.pid_file)
    path = this.view.top.daemon_json
    raw = this.view.read(path, 1 << 20) if path else None
    better = corrected(raw) if raw is not None else None
    if better is not None:
        this.write('DAEMON_JSON', path, better, 'only what JSON does not allow is taken out, and an old key is renamed', steps.CHOICE)


def _pid_file(this: Plan, path: bytes) -> None:
    raw = this.view.read(path, 64) if path else None
    text = (raw or b'').strip()
    if not text.isdigit() or len(text) > 10:
        return                          # dockerd takes no notice of anything else
    pid = int(text)
    name = hosts.read_proc(pid, 'comm', 64).strip()
    if name == b'dockerd':
        this.leave('PID_FILE', path, 'it names process %d, which is a dockerd' % pid, 'Find out which data root that dockerd works on, and stop it.')
    elif name:
        this.aside('PID_FILE', path, 'it names process %d, which is %s and no dockerd' % (pid, wording.show(name)), steps.CERTAIN)


def corrected(raw: bytes) -> Optional[bytes]:
    """The text of a daemon.json that says the same and can be parsed; None if none is needed, or if that is not enough."""
    value = _object(raw)
    text = raw
    if value is None:
        text = raw[3:] if raw.startswith(b'\xef\xbb\xbf') else raw
        text = _TOKEN.sub(lambda match: match.group() if match.group().startswith(b'"') else b'', text)
        value = {} if not text.strip(b'\0 \t\r\n') else _object(text)
        if value is None:
            return None
        text = text if value else b'{}\n'
    if 'graph' in value and 'data-root' not in value:
        renamed = _GRAPH.sub(rb'"data-root"\1', text, count=1)
        wanted = {('data-root' if key == 'graph' else key): one for key, one in value.items()}
        if _object(renamed) == wanted:  # the same word may stand deeper in the file
            text = renamed
    return text if text != raw else None


def _object(raw: bytes) -> Optional[Dict[str, Any]]:
    try:
        value = json.loads(raw.decode('utf-8'))     # as strict as the engine's own reader
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
