"""What an engine tells of all that it has, and what of it is as an unbroken engine tells it."""
import hashlib
import http.client
import json
import os
import tarfile

from rig.common import RigError

# inspect of a container that no record holds, or that every start makes anew
_NOT_OURS = ('ResolvConfPath', 'State')


def said(engine, damaged=False):
    """What the engine tells of all it has; names of containers are not trusted for anything. DAMAGED: what it cannot tell is None."""
    found = {'containers': {}, 'diff': {}, 'export': {}}
    for row in engine.api('GET', '/containers/json', all='true'):
        ident = row['Id']
        inspect = _asked(damaged, engine.api, 'GET', '/containers/%s/json' % ident) or {}
        found['containers'][ident] = {key: inspect[key] for key in inspect if key not in _NOT_OURS}
        found['containers'][ident]['Mounts'] = sorted(inspect.get('Mounts') or (), key=lambda one: one['Destination'])   # else in no order
        found['diff'][ident] = _asked(damaged, _changes, engine, ident)
        found['export'][ident] = _asked(damaged, exported, engine, ident)
    found['images'] = {row['Id']: sorted(row['RepoTags'] or []) for row in engine.api('GET', '/images/json', all='true')}
    volumes = engine.api('GET', '/volumes')['Volumes'] or []
    found['volumes'] = {one['Name']: (one['Labels'], one['Options']) for one in volumes}
    found['networks'] = {one['Name']: (one['Id'], one['Driver'], json.dumps(one['IPAM'], sort_keys=True), one['Labels'])
                         for one in engine.api('GET', '/networks')}
    return found


def _asked(damaged, question, *about):
    try:
        return question(*about)
    except (RigError, OSError, http.client.HTTPException, tarfile.TarError):
        if not damaged:
            raise
        return None


def _changes(engine, ident):
    return sorted((one['Kind'], one['Path']) for one in engine.api('GET', '/containers/%s/changes' % ident) or [])


def exported(engine, ident):
    """Digest of names, kinds, sizes, owners, modes and contents of docker export."""
    path = os.path.join(engine.scratch, 'export.tar')
    try:
        engine.download(path, '/containers/%s/export' % ident)
        digest = hashlib.sha256()
        with tarfile.open(path) as tar:
            for item in sorted(tar, key=lambda one: one.name):
                content = hashlib.sha256(tar.extractfile(item).read()).hexdigest() if item.isreg() else item.linkname
                words = repr((item.name, item.type, item.mode, item.uid, item.gid, item.size, content))
                digest.update(words.encode('utf-8', 'backslashreplace'))
        return digest.hexdigest()
    finally:
        if os.path.exists(path):
            os.unlink(path)


def right(now, control):
    """{(kind, name) or (containers, id, key of inspect)} of what said() tells as it tells it of the unbroken CONTROL."""
    found = {(what, name) for what, all_of in control.items() if what != 'containers'
             for name, value in all_of.items() if now[what].get(name) == value}
    return found | {('containers', ident, key) for ident, inspect in control['containers'].items()
                    for key, value in inspect.items() if now['containers'].get(ident, {}).get(key) == value}


def started(engine, names):
    """Those of NAMES (IDs) that the engine can start; they run then."""
    found = set()
    for ident in names:
        try:
            engine.api('POST', '/containers/%s/start' % ident)
            found.add(ident)
        except RigError:
            continue
    return found
