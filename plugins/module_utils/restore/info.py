# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docker_bundle_info returns of a bundle."""
from ..bundles import reading
from ..formats.values import as_dict, as_list, as_str
from ..storage import model

SHOWN = ('name', 'kind', 'file', 'bytes', 'sha256', 'status')


def describe(info):
    """reading.BundleInfo -> plain dict. Nothing in the manifest is believed to be of the right type."""
    manifest = info.manifest if isinstance(info.manifest, dict) else {}
    subject = next((manifest[kind] for kind in reading.KINDS if isinstance(manifest.get(kind), dict)), {})
    fields = model.path_fields(info.path)
    fields.update({
        'status': info.status, 'differences': [dict(item) for item in info.differences], 'extra': list(info.extra),
        'kind': manifest.get('kind'), 'name': subject.get('name'), 'id': subject.get('id'),
        'created': manifest.get('created'),
        'subject_created': subject['created'] if isinstance(subject.get('created'), str) else '',
        'rescue_status': manifest.get('status'), 'source': manifest.get('source'),
        'volumes': _volumes(manifest),
        'components': [{key: item.get(key) for key in SHOWN} for item in reading.components(manifest)],
        'problems': [item for item in as_list(manifest.get('problems')) if isinstance(item, dict)]})
    return fields


def _volumes(manifest):
    """[{'name', 'stable_name'}] of the volumes that a restore of the bundle knows: those of the mounts, and what there is data of."""
    found = {}
    for item in map(as_dict, as_list(manifest.get('mounts'))):
        if as_str(item.get('type')) in ('', 'volume') and as_str(item.get('name')):
            found[item['name']] = as_str(item.get('stable_name')) or item['name']
    for item in reading.components(manifest, 'volume'):
        name = as_str(item.get('volume')) or as_str(item.get('name')).partition(':')[2]
        if name:
            found.setdefault(name, name)
    return [{'name': name, 'stable_name': stable} for name, stable in found.items()]


def inspect(path, verify):
    """[description] of every bundle at or below PATH (bytes). Raises LifeboatError where there is none."""
    found = reading.find_bundles(path)
    if not found:
        raise model.LifeboatError('There is no bundle in %s. Give the folder that dest named in the rescue.' % model.text(path))
    return [describe(reading.inspect_bundle(item, verify)) for item in found]
