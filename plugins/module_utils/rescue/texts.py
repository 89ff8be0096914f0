# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small and textual parts of a bundle: the logs as files and as one readable one, and the README."""
import os
import shlex
import stat

from ..formats import containerlogs
from ..recreate.definition import stable_name
from ..storage import safeio
from ..storage.codes import problem

CHUNK = 1 << 20


def copy_log(path, sink):
    """Copy one log file as it is into SINK; returns its SHA-256 and size. Raises OSError for a source that fails."""
    import hashlib
    digest, size = hashlib.sha256(), 0
    fd = open_log(path)
    try:
        while True:
            piece = os.read(fd, CHUNK)
            if not piece:
                return digest.hexdigest(), size
            digest.update(piece)
            size += len(piece)
            sink.write(piece)
    finally:
        os.close(fd)


def open_log(path):
    """A descriptor of a log file: never through a link, only a regular file. Raises OSError."""
    folder = safeio.Dir.root(os.path.dirname(path))
    try:
        return folder.open(os.path.basename(path))
    finally:
        folder.close_all()


def readable(container, problems):
    """Yield the bytes of container.log: every record as `docker logs --timestamps` prints it, oldest first.

    Where a stream stops in the middle of a line and the other one goes on, a newline keeps them apart.
    """
    files = []
    before = None
    try:
        for path in container.log.files:
            if stat.S_ISREG(os.lstat(path).st_mode):
                files.append(os.fdopen(open_log(path), 'rb'))
        counters = containerlogs.Counters()
        reader = containerlogs.local_records if is_local(container.log) else containerlogs.json_file_records
        for record in reader(files, counters):
            if before is not None and before.stream != record.stream and not before.data.endswith(b'\n'):
                yield b'\n'
            yield containerlogs.render(record)
            before = record
        if counters.damaged or counters.notes:
            problems.append(problem('LOG_DAMAGED', container.name or container.id, 'The logs of %s: %d bytes in %d places are '
                                    'no log records and are left out of container.log%s.' % (
                                        container.name or container.id[:12], counters.skipped_bytes, counters.damaged,
                                        ''.join('; ' + note for dummy, note in counters.notes[:3])),
                                    'The files as found are beside it.'))
    finally:
        for found in files:
            found.close()


def is_local(log):
    name = os.path.basename(log.files[0]) if log.files else b''
    return name.startswith((b'container.log', b'container-cached.log'))


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

PARTS = {
    'writable': ('The writable layer (what the container itself changed), as an OCI layer: files named .wh.NAME mean that\n'
                 'NAME was deleted, .wh..wh..opq that a folder replaced the one below it. To look at it:\n\n'
                 '    mkdir writable && tar -C writable --numeric-owner --xattrs --xattrs-include=\'*\' --acls -xf {file}\n'),
    'rootfs': ('The whole file system as the container saw it (without its volumes):\n\n'
               '    mkdir rootfs && tar -C rootfs --numeric-owner --xattrs --xattrs-include=\'*\' --acls -xf {file}\n\n'
               'or as a new image:  {cat} {file} | docker import - rescued/{name}\n'),
    'volume': ('Volume {volume} (was mounted at {destination}). Into a new, empty volume on a healthy host:\n\n'
               '    docker volume create {volume}\n'
               '    tar -C "$(docker volume inspect -f \'{{{{.Mountpoint}}}}\' {volume})" --numeric-owner --xattrs '
               '--xattrs-include=\'*\' --acls -xf {file}\n'),
    'bind': ('Bind mount {source} (was mounted at {destination}):\n\n'
             '    mkdir -p {quoted} && tar -C {quoted} --numeric-owner --xattrs --xattrs-include=\'*\' --acls -xf {file}\n'),
    'single': ('Bind mount {source}, one file (was mounted at {destination}):\n\n'
               '    tar -C {folder} --numeric-owner --xattrs --xattrs-include=\'*\' --acls -xf {file}\n'),
    'image': 'The image with the writable layer on top, to be started again:\n\n    {load}\n',
    'log': 'Logs as found and, readable, logs/container.log.\n',
    'config': 'The recorded definition is in config/; compose.yaml and run.sh there were made from it.\n',
}
CAT = {'.zst': 'zstd -dc', '.gz': 'gzip -dc', '.xz': 'xz -dc'}


def readme(manifest):
    """Text of README.txt for a manifest."""
    subject = manifest.get('container') or manifest.get('volume') or manifest.get('orphan') or {}
    name = subject.get('name') or (subject.get('id') or '')[:12]
    title = 'Rescued %s %s' % (manifest['kind'], name)
    parts, told = [], set()
    # as config/compose.yaml and run.sh name them
    names = {mount['name']: stable_name(name, mount['destination']) for mount in manifest['mounts']
             if mount['type'] == 'volume' and mount['anonymous'] and mount['name']}
    unpackers = sorted({CAT[os.path.splitext(item['file'])[1]].split()[0] for item in manifest['components']
                        if os.path.splitext(item['file'])[1] in CAT})
    for component in manifest['components']:
        kind = component['kind']
        if kind not in PARTS or (kind in ('log', 'config') and kind in told):
            continue
        told.add(kind)
        source = component.get('source') or ''
        parts.append(PARTS['single' if component.get('single') else kind].format(
            file=component['file'], name=name, volume=names.get(component.get('volume'), component.get('volume')),
            source=source, quoted=shlex.quote(source), folder=shlex.quote(os.path.dirname(source)),
            destination=component.get('destination') or 'an unknown place', load=component.get('load', ''),
            cat=CAT.get(os.path.splitext(component['file'])[1], 'cat')))
    problems = ''
    if manifest['problems']:
        problems = '\nWhat is missing or uncertain:\n\n' + ''.join(
            '- %s%s\n' % (item['message'], ' ' + item['next_step'] if item['next_step'] else '')
            for item in manifest['problems'])
    return README.format(title=title, line='=' * len(title), created=manifest['created'],
                         source='%s:%s' % (manifest['source']['hostname'], manifest['source']['data_root']),
                         status=manifest['status'], parts='\n'.join(parts), problems=problems,
                         unpacker=' (and %s, which tar calls)' % ', '.join(unpackers) if unpackers else '')
