# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a `docker load` archive holds, without loading it: manifest.json, index.json and the image's configuration.

Graphdriver engines read manifest.json, containerd-backed ones prefer index.json (FORMATS 10.4): both have to lead to
the same image, or what a person saw checked is not what runs.
"""
import hashlib
import json
from typing import Any, Dict, NamedTuple, Tuple

from . import tarread
from .bundle import as_dict, as_list

MAX_SMALL = 8 << 20                     # configurations and manifests; layers are larger or do not matter here
MAX_KEPT = 64 << 20
MAX_NAMES = 10000


class ImageFile(NamedTuple):
    """`ids`: every id under which an engine may know it (configuration, manifest and index digests)."""
    config: Dict[str, Any]              # the whole configuration: architecture, os, config, rootfs
    config_digest: str                  # sha256:...
    references: Tuple[str, ...]
    diff_ids: Tuple[str, ...]
    ids: Tuple[str, ...]


def read(stream, what='image.tar'):
    """-> ImageFile of the first image in an archive. Raises ArchiveError if it is none, or contradicts itself."""
    reader = tarread.Reader(stream, what)
    small, names, kept = {}, set(), 0
    for member in reader:
        if member.kind == tarread.SYMLINK and not _stays(member):
            raise reader.fail('is a link that leaves the archive', member.name)
        names.add(member.name)
        if len(names) > MAX_NAMES:
            raise reader.fail('has more than %d members: this is no image' % MAX_NAMES)
        if member.kind == tarread.FILE and member.size <= MAX_SMALL and kept < MAX_KEPT and _may_matter(member):
            data = reader.take()
            kept += len(data)
            small[member.name] = data
    manifest = _json(reader, small, b'manifest.json')
    entries = [item for item in as_list(manifest) if isinstance(item, dict)]
    if len(entries) != 1:
        raise reader.fail('has %d images in its manifest.json instead of one' % len(entries))
    entry = entries[0]
    name = str(entry.get('Config')).encode('utf-8', 'replace')
    config = _json(reader, small, name)
    diff_ids = as_list(as_dict(as_dict(config).get('rootfs')).get('diff_ids'))
    layers = as_list(entry.get('Layers'))
    if not isinstance(config, dict) or len(diff_ids) != len(layers):
        raise reader.fail('has an image configuration that does not fit its layers')
    for layer in layers:
        if str(layer).encode('utf-8', 'replace') not in names:
            raise reader.fail('lacks the layer %s' % layer)
    digest = 'sha256:' + hashlib.sha256(small[name]).hexdigest()
    ids = [digest]
    if b'index.json' in names:
        ids.extend(_index_ids(reader, small, digest))
    references = tuple(tag for tag in as_list(entry.get('RepoTags')) if isinstance(tag, str))
    return ImageFile(config, digest, references, tuple(map(str, diff_ids)), tuple(ids))


def _stays(member):
    """Old `docker save` links ../<other layer>/layer.tar; nothing else has links."""
    return member.link.startswith(b'../') and b'..' not in member.link[3:].split(b'/') and member.name.count(b'/') == 1


def _may_matter(member):
    return member.name in (b'manifest.json', b'index.json', b'oci-layout') or member.name.endswith(b'.json') \
        or member.name.startswith(b'blobs/')


def _json(reader, small, name):
    if name not in small:
        raise reader.fail('lacks %s' % tarread.shown(name))
    try:
        return json.loads(small[name].decode('utf-8'))
    except (ValueError, RecursionError):
        raise reader.fail('is not JSON', name)


def _index_ids(reader, small, config_digest):
    """Digests of the index's manifests; one of them must have the configuration that manifest.json names."""
    found, agrees = [], False
    pending = as_list(as_dict(_json(reader, small, b'index.json')).get('manifests'))[:20]
    while pending:
        digest = str(as_dict(pending.pop(0)).get('digest'))
        if not digest.startswith('sha256:') or digest in found or len(found) > 50:
            continue
        blob = small.get(b'blobs/sha256/' + digest[7:].encode('utf-8', 'replace'))
        if blob is None:
            continue
        if hashlib.sha256(blob).hexdigest() != digest[7:]:
            raise reader.fail('has a manifest that is not what its digest says')
        found.append(digest)
        content = as_dict(_json(reader, small, b'blobs/sha256/' + digest[7:].encode()))
        pending.extend(as_list(content.get('manifests'))[:20])
        agrees = agrees or as_dict(content.get('config')).get('digest') == config_digest
    if not agrees:
        raise reader.fail('has one image in manifest.json and another one in index.json')
    return found
