"""The state of a dead cluster as files: stack files to deploy it again, what the engine would have printed, configs, and secrets if they are wanted."""
import contextlib
import hashlib
import json
import os
import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ..archive import place
from ..archive.sink import FileSink
from ..bundles import target as targets
from ..bundles.store import FolderStore
from ..disk.errors import LifeboatError
from ..formats import checksums, wording
from ..records import cluster as records, clusterfacts, model
from ..records.codes import problem
from ..recreate import stack as stacks

SECRETS = 'secrets'
WORDS = (SECRETS,)                      # of include
FOLDER = 'swarm'
SUMS = 'SHA256SUMS'
NAME = re.compile(r'[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?\Z')      # what the engine takes as the name of a secret or config
UNSAFE = re.compile(r'[^A-Za-z0-9_.-]')


class Request(NamedTuple):
    """The module's options of the same names; paths are bytes."""
    dest: bytes
    host_name: Optional[str] = None
    include: Tuple[str, ...] = ()
    unlock_key: str = ''
    check_mode: bool = False


def export(host: Any, request: Request) -> Dict[str, Any]:
    """Write what REQUEST asks for -> the module's result: `changed`, `folder`, `files`, `swarms`, `problems`. LifeboatError where there is nothing that
    could be written; what is missing of the rest is in the problems."""
    for word in request.include:
        if word not in WORDS:
            raise LifeboatError('include has no "%s"; it has: %s.' % (wording.show(word), ', '.join(WORDS)))
    targets.refuse_inside(host, request.dest)
    clusters = of_host(host, request.unlock_key)
    problems = list(host.problems) + targets.look(host, request.dest)
    for cluster in clusters:
        problems += list(cluster.problems) + _left_out(cluster, request)
    files: Dict[str, bytes] = {}
    for number, cluster in enumerate(clusters, 1):
        folder = FOLDER if number == 1 else '%s-%d' % (FOLDER, number)
        files.update((folder + '/' + name, content) for name, content in content_of(cluster, SECRETS in request.include).items())
    with contextlib.closing(FolderStore(request.dest, targets.host_folder(host.root, request.host_name))) as store:
        wanted = _summed(files)
        changed = _write(store, wanted, request.check_mode)
        path = store.path
    return {'changed': changed, 'folder': wording.text(os.path.join(path, os.fsencode(FOLDER))), 'files': [name for name, dummy in wanted],
            'swarms': [clusterfacts.facts(cluster) for cluster in clusters], 'problems': [item._asdict() for item in problems]}


def of_host(host: Any, unlock_key: str) -> List[records.Cluster]:
    """The records.Cluster of every root that has one. LifeboatError where there is none, and where nothing of it can be read."""
    found = [cluster for cluster in (root.cluster(unlock_key) for root in host.roots) if cluster is not None]
    if not found:
        raise LifeboatError('This host was no node of a swarm: %s.' % (
            'no data root was found' if not host.roots else 'the folder of the swarm in its data root is empty'))
    if all(cluster.status == model.LOST for cluster in found):
        first = found[0].problems[0]
        raise LifeboatError('%s %s' % (first.message, first.next_step))
    return found


def _left_out(cluster: records.Cluster, request: Request) -> List[model.Problem]:
    count = sum(1 for item in cluster.secrets if item.content is not None and not item.built_in)
    if not count or SECRETS in request.include:
        return []
    return [problem('SWARM_SECRETS_LEFT_OUT', wording.text(cluster.path), 'The content of %s was read and not written.' % wording.number(count, 'secret'),
                    'Add secrets to include to have it as files.')]


def content_of(cluster: records.Cluster, with_secrets: bool) -> Dict[str, bytes]:
    """{path below the folder: content} of all files of a cluster, in plain names. A worker has one file."""
    found = {'swarm.json': _json(clusterfacts.facts(cluster))}
    if cluster.role != records.MANAGER:
        return found
    secrets = _names('secrets', cluster.secrets if with_secrets else ())
    configs = _names('configs', cluster.configs)
    for kind, items in (('nodes', cluster.nodes), ('services', cluster.services), ('networks', cluster.networks), ('secrets', cluster.secrets),
                        ('configs', cluster.configs)):
        found[kind + '.json'] = _json([item.document for item in items])
    for names, objects in ((secrets, cluster.secrets), (configs, cluster.configs)):
        found.update((names[item.id], item.content) for item in objects if item.id in names and item.content is not None)
    files = stacks.Files(lambda item: secrets.get(item.id), lambda item: configs.get(item.id))
    taken: Any = set()
    for name in stacks.stacks(cluster):
        path = _free('stack-%s.yml' % (UNSAFE.sub('-', name)[:100]) if name else 'stack.yml', taken)
        found[path] = stacks.stack(cluster, name, files).encode('utf-8', 'surrogateescape')
    found['create.sh'] = stacks.create_script(cluster, files).encode('utf-8', 'surrogateescape')
    return found


def _names(folder: str, objects: Iterable[records.Object]) -> Dict[str, str]:
    """{ID: path} of the objects that have a content. This is the one place where a name of the state becomes that of a file."""
    found, taken = {}, set()            # type: Dict[str, str], Any
    for item in objects:
        if item.content is not None and not item.built_in:
            name = item.name if NAME.match(item.name) else '%s-%s' % (UNSAFE.sub('-', item.name)[:40], hashlib.sha256(
                item.id.encode('utf-8', 'surrogateescape')).hexdigest()[:12])
            found[item.id] = '%s/%s' % (folder, _free(name.lstrip('.-') or 'unnamed', taken))
    return found


def _free(name: str, taken: Any) -> str:
    """NAME, or one made of it that is not in TAKEN; it is added there. File systems may not know capitals from small letters."""
    made, number = name, 2
    while made.lower() in taken:
        made, number = '%s-%d' % (name, number), number + 1
    taken.add(made.lower())
    return made


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode('ascii') + b'\n'


def _summed(files: Dict[str, bytes]) -> List[Tuple[str, bytes]]:
    """FILES in their order, and behind them the sums of each folder."""
    sums: Dict[str, List[Tuple[str, bytes]]] = {}
    for path, content in sorted(files.items()):
        folder, dummy, below = path.partition('/')
        sums.setdefault(folder, []).append((hashlib.sha256(content).hexdigest(), below.encode('ascii')))
    return sorted(files.items()) + [('%s/%s' % (folder, SUMS), checksums.lines(items)) for folder, items in sorted(sums.items())]


# -- writing -------------------------------------------------------------------------------------------------------------------------------


def _write(store: FolderStore, files: List[Tuple[str, bytes]], check_mode: bool) -> bool:
    """Write what is missing or differs, in this order -> whether there was any."""
    if not check_mode:
        store.prepare()
        store.lock()
    changed = False
    for path, content in files:
        folder, dummy, name = path.rpartition('/')
        with _folder(store, os.fsencode(folder), not check_mode) as fd:
            if fd is not None and _is_there(fd, os.fsencode(name), content):
                continue
            changed = True
            if fd is not None and not check_mode:
                with FileSink(fd, os.fsencode(name), shown=os.path.join(store.path, os.fsencode(folder))) as out:
                    out.write(content)
    return changed


def _folder(store: FolderStore, path: bytes, make: bool) -> 'contextlib.AbstractContextManager[Optional[int]]':
    return place.inside(store.folder(make), path, make)


def _is_there(fd: int, name: bytes, content: bytes) -> bool:
    """Whether the file NAME in the folder FD has this content, and nobody but its owner may read it."""
    try:
        found = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=fd)
    except OSError:
        return False
    with os.fdopen(found, 'rb') as stream:
        st = os.fstat(found)
        return not st.st_mode & 0o077 and st.st_size == len(content) and stream.read(len(content) + 1) == content
