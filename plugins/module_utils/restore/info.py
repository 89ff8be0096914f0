# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docker_bundle_info returns of a bundle."""
from ..bundles import reading
from ..formats.values import as_list
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
        'components': [{key: item.get(key) for key in SHOWN} for item in reading.components(manifest)],
        'problems': [item for item in as_list(manifest.get('problems')) if isinstance(item, dict)]})
    return fields


def inspect(path, verify):
    """[description] of every bundle at or below PATH (bytes). Raises LifeboatError where there is none."""
    found = reading.find_bundles(path)
    if not found:
        raise model.LifeboatError('There is no bundle in %s. Give the folder that dest named in the rescue.' % model.text(path))
    return [describe(reading.inspect_bundle(item, verify)) for item in found]
