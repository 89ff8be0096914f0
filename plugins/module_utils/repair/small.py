"""Records that are small and their own: options of volumes, plugins, swarm, tmp."""
import json
from typing import Dict, Optional

from ..formats import boltdb, jsonish
from . import databases, steps
from .plan import Plan
from .view import MAX_DB, View

CODES = {
    'VOLUME_OPTIONS': steps.Code('opts.json of a volume is empty or damaged; dockerd does not start.',
                                 'Makes it anew from the options in metadata.db.'),
    'VOLUME_OPTIONS_ASIDE': steps.Code('opts.json of a volume is damaged, and nothing tells its options.',
                                       'Moves it aside: the volume becomes a plain one. Only where the code is named.'),
    'VOLUME_DATA': steps.Code('The folder with the data of a volume is gone.',
                              'Makes an empty one, so that containers start. The data stay lost. Only where the code is named.'),
    'PLUGIN': steps.Code('The record of a plugin is damaged; dockerd skips it.', 'Moves the plugin aside. Only where the code is named.'),
    'SWARM_ASIDE': steps.Code('The state of the swarm node is damaged; dockerd does not start.',
                              'Moves swarm/ aside: the node is in no swarm then, its raft log is kept. Only where the code is named.'),
}


def plan(this: Plan) -> None:
    """Plan for volumes, plugins and swarm; databases must be planned before."""
    _volumes(this)
    _plugins(this)
    _swarm(this)


def _volumes(this: Plan) -> None:
    view, options = this.view, None
    for name in view.names(b'volumes'):
        folder = b'volumes/' + name
        if not view.is_folder(folder):
            continue
        if view.kind(folder + b'/opts.json') is not None and view.json(folder + b'/opts.json') is None:
            options = _options(view) if options is None else options
            _opts(this, folder + b'/opts.json', options.get(name))
        if view.kind(folder + b'/_data') is None:
            this.mkdir('VOLUME_DATA', folder + b'/_data', 'the folder is missing: its data are lost', steps.LOST, 0o755)


def _options(view: View) -> Dict[bytes, Dict[str, str]]:
    """{volume: Options or {}} as metadata.db has them."""
    raw = view.read(databases.VOLUMES, MAX_DB)
    try:
        bucket = boltdb.open_db(raw).root.bucket(b'volumes') if raw else None
        pairs = list(bucket.items()) if bucket is not None else []
    except boltdb.BoltError:
        return {}
    found = {}
    for name, value in pairs:
        try:
            record = jsonish.loads(value or b'')
        except ValueError:
            continue
        if isinstance(record, dict):
            options = record.get('Options')
            found[name] = options if isinstance(options, dict) else {}
    return found


def _opts(this: Plan, path: bytes, options: Optional[Dict[str, str]]) -> None:
    if options:
        value = {'MountType': options.get('type', ''), 'MountOpts': options.get('o', ''), 'MountDevice': options.get('device', ''), 'Quota': {'Size': 0}}
        this.write('VOLUME_OPTIONS', path, json.dumps(value, separators=(',', ':')).encode(), 'Options in metadata.db', steps.CERTAIN)
    else:
        this.aside('VOLUME_OPTIONS_ASIDE', path, 'nothing tells the options of this volume', steps.LOST)


def _plugins(this: Plan) -> None:
    for name in this.view.names(b'plugins'):
        folder = b'plugins/' + name
        if len(name) == 64 and this.view.is_folder(folder) and this.view.json(folder + b'/config.json') is None:
            this.aside('PLUGIN', folder, 'its config.json is damaged', steps.CHOICE)


def _swarm(this: Plan) -> None:
    view = this.view
    names = view.names(b'swarm')
    if not names:
        return
    if view.kind(b'swarm/certificates/swarm-node.crt') is None:
        this.leave('SWARM_ASIDE', b'swarm', 'the certificate of the node is missing: the next start of dockerd deletes everything in swarm/',
                   'A copy is in the journal (records.tar). Put the certificate back before any start, or move swarm/ away.')
        return
    for name in (b'docker-state.json', b'state.json'):
        if name in names and view.json(b'swarm/' + name) is None:
            this.aside('SWARM_ASIDE', b'swarm', '%s is damaged' % name.decode(), steps.CHOICE)
            return
