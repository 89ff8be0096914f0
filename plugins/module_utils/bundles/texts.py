"""Small and textual parts of a bundle: the logs as files and as one readable one, and the README."""
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ..archive import compress
from ..disk import safeio
from ..formats import containerlogs, pieces, redact
from ..formats.redact import REDACTED
from ..formats.values import as_dict, as_list, as_str
from ..formats.wording import number, show
from ..records.codes import problem
from ..records.definition import Definition, stable_name, to_json
from ..recreate.shell import typed
from .reading import OTHER_IMAGE

if TYPE_CHECKING:
    from ..archive.sink import Sink
    from ..formats.pieces import Readable
    from ..records.model import Container, Log, Problem


def copy_log(path: bytes, sink: 'Sink') -> Tuple[str, int]:
    """Copy one log file as it is into SINK; returns its SHA-256 and size. Raises OSError for a source that fails."""
    fd = open_log(path)
    try:
        digest, size = pieces.hashed(fd, sink.write)
        return digest.hexdigest(), size
    finally:
        os.close(fd)


def open_log(path: bytes) -> int:
    """A descriptor of a log file: never through a link, only a regular file. Raises OSError."""
    folder = safeio.Dir.root(os.path.dirname(path))
    try:
        return folder.open(os.path.basename(path))
    finally:
        folder.close_all()


def records(log: 'Log', files: 'Iterable[Readable]', counters: containerlogs.Counters, problems: 'List[Problem]',
            keep: 'Optional[Callable[[bytes], Any]]' = None) -> Iterator[containerlogs.LogRecord]:
    """Yield the records of LOG, whose FILES are open. What is wrong goes to COUNTERS, or at the end to PROBLEMS. KEEP gets the entries of a
    log that is in the journal of the host, in the export format."""
    if log.journal is not None:
        return log.journal.read(compress.unpack_frames, keep, problems)
    return containerlogs.READERS[log.form](files, counters)


def readable(container: 'Container', problems: 'List[Problem]', keep: 'Optional[Callable[[bytes], Any]]' = None) -> Iterator[bytes]:
    """Yield the bytes of container.log: every record as `docker logs --timestamps` prints it, oldest first. KEEP: see records().

    Where a stream stops in the middle of a line and the other one goes on, a newline keeps them apart.
    """
    log = container.log
    if log is None:
        return
    files = []
    before = None
    try:
        for path in log.files:
            if safeio.is_file(path):
                files.append(os.fdopen(open_log(path), 'rb'))
        counters = containerlogs.Counters()
        for record in records(log, files, counters, problems, keep):
            if before is not None and before.stream != record.stream and not before.data.endswith(b'\n'):
                yield b'\n'
            yield containerlogs.render(record)
            before = record
        if counters.damaged or counters.notes:
            problems.append(problem('LOG_DAMAGED', container.name or container.id, 'The logs of %s: %s in %s are '
                                    'no log records and are left out of container.log%s.' % (
                                        container.name or container.id[:12], number(counters.skipped_bytes, 'byte'), number(counters.damaged, 'place'),
                                        ''.join('; ' + note for dummy, note in counters.notes[:3])),
                                    'The files as found are beside it.'))
    finally:
        for found in files:
            found.close()


README = """\
{title}
{line}

Written by lifeboat.docker on {created} from {source}.
Status: {status}. Everything that is known about it is in manifest.json.

Check that nothing changed since:

    sha256sum -c SHA256SUMS

{parts}
Nothing but tar is needed{unpacker}. Run as root, or owners and modes are lost. To check files after extraction, go
into the folder and run sha256sum -c on the .sha256 file beside the archive.
{problems}"""

TAR = "--numeric-owner --xattrs --xattrs-include='*' --acls -xf"
# {sh_NAME}: as a word of the shell; {NAME}: as text
PARTS = {
    'writable': ('The writable layer (what the container itself changed), as an OCI layer: files named .wh.NAME mean that\n'
                 'NAME was deleted, .wh..wh..opq that a folder replaced the one below it. To look at it:\n\n'
                 '    mkdir writable && tar -C writable {tar} {sh_file}\n'),
    'rootfs': ('The whole file system as the container saw it (without its volumes):\n\n'
               '    mkdir rootfs && tar -C rootfs {tar} {sh_file}\n\n'
               'or as a new image:  {cat} {sh_file} | docker import - {sh_image}\n'),
    'volume': ('Volume {volume} (was mounted at {destination}). Into a new, empty volume on a healthy host:\n\n'
               '    {create}\n'
               '    tar -C "$(docker volume inspect -f \'{{{{.Mountpoint}}}}\' -- {sh_volume})" {tar} {sh_file}\n'),
    'bind': ('Bind mount {source} (was mounted at {destination}):\n\n'
             '    mkdir -p -- {sh_source} && tar -C {sh_source} {tar} {sh_file}\n'),
    'single': ('Bind mount {source}, one file (was mounted at {destination}):\n\n'
               '    tar -C {sh_folder} {tar} {sh_file}\n'),
    'paths': ('Files of {object} that were asked for by path ({patterns}), each below the folders it was in:\n\n'
              '    mkdir paths && tar -C paths {tar} {sh_file}\n\n'
              'A restore leaves them alone: copy from paths/ what you need. Into a container on a healthy host:  docker cp paths/. NAME:/\n'),
    'dump': ('Dump of the {engine} database at {data_path}: {dump}. It is an addition, the raw data stay the truth:\n\n'
             '    {cat} {sh_file} | less\n\n'
             'A database server of the dead container wrote it, so it is untrusted: SQL in it runs with all rights of whoever loads it.\n'
             'It is never loaded by itself. Read it first, then load it into a fresh server that holds nothing else.\n'),
    'dump-file': ('Dump of the {engine} database at {data_path}: {dump}. It is an addition, the raw data stay the truth.\n'
                  'Unpack it for a fresh server that holds nothing else:\n\n'
                  '    {cat} {sh_file} > dump.{suffix}\n'),
    'no-dump': 'There is no dump of the {engine} database at {data_path}; see below. The raw data are what counts.\n',
    'open-files': ('Files that were deleted while the container had them open ({place}), as they were then. Folders that were deleted too\n'
                   'have guessed owners and modes; names that could not be restored are below lifeboat-unnamed/.\n\n'
                   '    mkdir {sh_stem} && tar -C {sh_stem} {tar} {sh_file}\n\n'
                   'A restore unpacks it with target: directory only. Copy from it what you need.\n'),
    'secrets': ('Secrets of the engine ({names}), each value in a file of its own in secrets/, which nobody else should read. To have them\n'
                'on a healthy host:\n\n    {load}\n'),
    'image': 'The image with the writable layer on top, to be started again:\n\n    {load}\n',
    'log': 'Logs as found and, readable, logs/container.log.\n',
    'journal': ('The logs were in the journal of the host: readable in logs/container.log, and with all fields in logs/journal.export.\n'
                'systemd-journal-remote makes a journal of it again:\n\n'
                '    /lib/systemd/systemd-journal-remote -o container.journal {sh_export}\n    journalctl --file container.journal\n'),
    'context': ('The folder {source} of the host, which an image was built from or an app was kept in, to look at it:\n\n'
                '    mkdir context && tar -C context {tar} {sh_file}\n'),
    'deployment': ('The original files by which the containers of this host were started are in files/, each at its path on the host.\n'
                   'deployment.json says where each came from, what is left out, and what ran otherwise than they say. To start a\n'
                   'project again, copy its files back to their paths and call docker compose there.\n'),
    'config': ('The recorded definition is in config/; compose.yaml and run.sh there were made from it. When the image is loaded and\n'
               'the volumes are filled, one of the two starts the container again:\n\n    sh config/run.sh\n'),
}
CAT = {'.zst': 'zstd -dc', '.gz': 'gzip -dc', '.xz': 'xz -dc'}


def definition(found: Definition) -> Dict[str, Any]:
    """FOUND (definition.Definition) as the manifest has it: plain data without secrets, which are in config/ only."""
    log = found.log._replace(options=redact.values(found.log.options)) if found.log is not None else None
    volumes = dict((name, info._replace(options=redact.options(info.options))) for name, info in found.volume_settings.items())
    return to_json(found._replace(
        env=_names(found.env), labels=redact.values(found.labels, found.env), log=log, volume_settings=volumes, create_command=(),
        annotations=redact.values(found.annotations, found.env), command=tuple(redact.argv(found.command)),
        entrypoint=tuple(redact.argv(found.entrypoint)),
        health=found.health._replace(test=tuple(redact.argv(found.health.test))) if found.health is not None else None,
        mount_requests=tuple(asked._replace(driver_options=redact.options(asked.driver_options)) for asked in found.mount_requests),
        defaults=found.defaults._replace(env=_names(found.defaults.env)) if found.defaults is not None else None))


def _names(env: Iterable[str]) -> Tuple[str, ...]:
    return tuple('%s=%s' % item for item in redact.env(env).items())


def readme(manifest: Dict[str, Any]) -> str:
    """Text of README.txt for a manifest. Whatever a name holds, it stays in its line and in its word."""
    subject = manifest.get('container') or manifest.get('volume') or manifest.get('orphan') or {}
    name = subject.get('name') or (subject.get('id') or '')[:12]
    title = ('Rescued %s %s' % (manifest['kind'], show(name))).strip()
    known = _volumes(manifest, name)
    unpackers = sorted({CAT[os.path.splitext(item['file'])[1]].split()[0] for item in manifest['components']
                        if os.path.splitext(item['file'])[1] in CAT})
    parts, told = [], set()
    for component in manifest['components']:
        kind = component['kind']
        if kind not in PARTS or (kind in ('log', 'config') and kind in told):
            continue
        told.add(kind)
        parts.append(_part(component, name, known))
    problems = ''
    if manifest['problems']:
        problems = '\nWhat is missing or uncertain:\n\n' + ''.join(
            '- %s%s\n' % (show(item['message']), ' ' + show(item['next_step']) if item['next_step'] else '')
            for item in manifest['problems'])
    return README.format(title=title, line='=' * len(title), created=show(manifest['created']),
                         source='%s:%s' % (show(manifest['source']['hostname']), show(manifest['source']['data_root'])),
                         status=manifest['status'], parts='\n'.join(parts), problems=problems,
                         unpacker=' (and %s, which tar calls)' % ', '.join(unpackers) if unpackers else '')


def _part(component: Dict[str, Any], name: str, known: Mapping[str, Tuple[str, Optional[str]]]) -> str:
    """The paragraph on one component. KNOWN: see _volumes()."""
    source = component.get('source') or ''
    volume, create = known.get(component.get('volume') or '', (component.get('volume') or '', None))
    form = component['kind']
    if form == 'log' and component.get('export'):
        form = 'journal'
    if form == 'dump':
        form = 'no-dump' if not component['file'] else 'dump' if component['file'].partition('.')[2].split('.')[0] == 'sql' else 'dump-file'
    return PARTS['single' if component.get('single') else form].format(
        tar=TAR, cat=CAT.get(os.path.splitext(component['file'])[1], 'cat'), load=component.get('load', ''),
        names=show(', '.join(map(str, as_list(component.get('names'))))), sh_export=typed(as_str(component.get('export'))),
        source=show(source), sh_source=typed(source), sh_folder=typed(os.path.dirname(source)),
        place='of ' + show(component.get('destination')) if component.get('destination') else 'each below the folders it was in',
        sh_stem=typed(os.path.basename(component['file']).split('.tar')[0] or 'open-files'),
        object=show(component.get('object') or ''), patterns=show(', '.join(map(str, as_list(component.get('patterns'))))),
        engine=show(component.get('engine') or ''), data_path=show(component.get('data_path') or ''), dump=_dump(component),
        suffix=typed(os.path.splitext(component['file'].rpartition('/')[2].partition('.')[2])[0]),
        volume=show(volume), sh_volume=typed(volume), create=create or 'docker volume create -- ' + typed(volume),
        sh_image=typed('rescued/' + name), sh_file=typed(component['file']),
        destination=show(component.get('destination') or 'an unknown place'))


def _dump(component: Dict[str, Any]) -> str:
    """What a dump has, as a part of a sentence."""
    said = '%s, %s' % (number(component.get('tables') or 0, 'table'), number(component.get('rows') or 0, 'row'))
    missing = as_list(component.get('missing'))
    for mark in as_list(component.get('marks')):
        if str(mark).startswith(OTHER_IMAGE):
            said += ', made with the server of another image, %s' % show(str(mark)[len(OTHER_IMAGE):])
    return '%s%s' % (said, ', not whole (%s)' % '; '.join(show(str(each)) for each in missing[:3]).rstrip('.') if missing else '')


def _volumes(manifest: Dict[str, Any], container: str) -> Dict[str, Tuple[str, str]]:
    """{recorded name: (name as config/compose.yaml and run.sh have it, the command that creates it)}."""
    lone = manifest.get('volume')
    found = {}
    for item in ([dict(lone, type='volume', destination='')] if lone else []) + manifest['mounts']:
        if item['type'] != 'volume' or not item.get('name'):
            continue
        name = stable_name(container, item['destination']) if item.get('anonymous') and not lone else item['name']
        flags = [] if (item.get('driver') or 'local') == 'local' else ['--driver', item['driver']]
        for flag, key in (('--label', 'labels'), ('--opt', 'options')):
            flags += [word for label, value in sorted(as_dict(item.get(key)).items())
                      if label != 'com.docker.volume.anonymous' and REDACTED not in as_str(value)
                      for word in (flag, '%s=%s' % (label, as_str(value)))]
        found[item['name']] = (name, ' '.join(map(typed, ['docker', 'volume', 'create'] + flags + ['--', name])))
    return found
