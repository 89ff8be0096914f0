"""Makes bundles for tests with nothing but tarfile, so that a mistake of the rescue side cannot hide one here."""
import hashlib
import io
import json
import os
import sys
import tarfile


def member(name, data=None, kind=None, **fields):
    """(TarInfo, data). KIND: a tarfile type; default a regular file, or a folder where the name ends in '/'."""
    info = tarfile.TarInfo(name.rstrip('/'))
    if name.endswith('/'):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.mode = 0o644
    if kind is not None:
        info.type = kind
    if data is not None:
        info.size = len(data)
    info.mtime = fields.pop('mtime', 1600000000)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tar_bytes(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w', format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if data is not None else None)
    return buffer.getvalue()


def content_size(data):
    """Bytes of the files in a tar when unpacked; all of them for what is no tar."""
    if sys.version_info < (3, 8):       # its tarfile reads some damaged extended headers for ever
        return _plain_size(data)
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return sum(info.size for info in tar if info.isreg())
    except (tarfile.TarError, ValueError):
        return len(data)


def _plain_size(data):
    """The same by the headers alone."""
    total = at = 0
    while data[at:at + 512].strip(b'\0'):
        try:
            size = int(data[at + 124:at + 136].strip(b' \0') or b'0', 8)
        except ValueError:
            return len(data)
        total += size if data[at + 156:at + 157] in (b'0', b'\0') else 0
        at += 512 + -(-size // 512) * 512
    return total


ROOT = member('./')


def make_bundle(folder, files, manifest=None, kind='volume'):
    """Write a bundle of FILES {name: bytes}; the manifest's components are made from those in volumes/ and binds/.

    MANIFEST is merged over the default one. Returns the path as bytes.
    """
    parts = []
    for name, data in sorted(files.items()):
        if name.endswith('.tar') and '/' in name:
            folder_name, stem = name[:-4].split('/', 1)
            parts.append({'name': '%s:%s' % (folder_name.rstrip('s'), stem), 'kind': folder_name.rstrip('s'),
                          'file': name, 'bytes': len(data), 'sha256': hashlib.sha256(data).hexdigest(),
                          'status': 'complete', 'source_bytes': content_size(data)})
        elif name == 'image.tar':
            parts.append({'name': 'image', 'kind': 'image', 'file': name, 'bytes': len(data),
                          'sha256': hashlib.sha256(data).hexdigest(), 'status': 'complete'})
    content = {'schema_version': 1, 'kind': kind, 'tool': {'name': 'lifeboat.docker', 'version': '1.0.0'},
               'created': '2026-01-02T03:04:05Z', 'source': {'hostname': 'dead', 'host_root': '/', 'data_root':
                                                             '/var/lib/docker', 'store': 'graphdriver'},
               'status': 'complete', 'container': None, 'mounts': [], 'components': parts, 'problems': []}
    content.update(manifest or {})
    files = dict(files)
    files.setdefault('manifest.json', json.dumps(content).encode())
    sums = []
    for name, data in sorted(files.items()):
        path = os.path.join(str(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as handle:
            handle.write(data)
        sums.append('%s  %s\n' % (hashlib.sha256(data).hexdigest(), name))
    with open(os.path.join(str(folder), 'SHA256SUMS'), 'w') as handle:
        handle.write(''.join(sums))
    return os.fsencode(str(folder))
