"""Restores: a bundle of one volume, verified, unpacked into a folder and searched for databases."""
import hashlib
import importlib
import json
import os

import lab

ARCHIVE = 'volumes/data.tar.zst'


@lab.work('restore')
def restore_work(bundle, target, files):
    lab.importable()
    plan, run = (importlib.import_module(lab.UTILS + '.restore.' + name) for name in ('plan', 'run'))

    def work():
        result = run.restore(plan.Options(path=os.fsencode(bundle), restore=('volumes',), target='directory',
                                          dest=os.fsencode(target)))
        if result['volumes'][0]['files'] != files or result['notes']:
            raise SystemExit('the restore is not what it should be: %r' % (result,))
    return work


def bundle_of(source, path):
    """A bundle with one volume, the content of the folder SOURCE, as a rescue writes it."""
    os.makedirs(os.path.join(path, 'volumes'))
    archive = os.path.join(path, ARCHIVE)
    lab.WORKS['archive'](source, archive, codec='zstd', sums=True)()
    sums = {}
    for name in (ARCHIVE, ARCHIVE + '.sha256'):
        with open(os.path.join(path, name), 'rb') as handle:
            sums[name] = hashlib.sha256(handle.read()).hexdigest()
    size = sum(os.lstat(os.path.join(base, name)).st_size for base, dummy, names in os.walk(source) for name in names)
    manifest = {'schema_version': 1, 'kind': 'volume', 'volume': {'name': 'data', 'driver': 'local'}, 'components': [{
        'name': 'volume:data', 'kind': 'volume', 'volume': 'data', 'file': ARCHIVE, 'sha256': sums[ARCHIVE], 'source_bytes': size,
        'bytes': os.path.getsize(archive), 'status': 'complete'}]}
    raw = json.dumps(manifest).encode()
    sums['manifest.json'] = hashlib.sha256(raw).hexdigest()
    with open(os.path.join(path, 'manifest.json'), 'wb') as handle:
        handle.write(raw)
    with open(os.path.join(path, 'SHA256SUMS'), 'w') as handle:
        handle.write(''.join('%s  %s\n' % (sums[name], name) for name in sorted(sums)))


@lab.row('restore-small-files')
def restore_small_files(here):
    count = here.count(100000)
    source = here.small_files(count)
    bundle = here.made('bundle-%d' % count, lambda path, dummy: bundle_of(source, os.path.join(path, 'bundle'))) + '/bundle'
    ours, theirs = here.path('restored'), here.path('by-tar')
    yield lab.Row('restore of a volume of %d files of 800 B, verified' % count, 'restore',
                  {'bundle': bundle, 'target': ours, 'files': count},
                  [lab.Reference('zstd -dc | tar -x', 'mkdir %s; zstd -dc %s | tar -x -C %s' % (
                      theirs, os.path.join(bundle, ARCHIVE), theirs), 1.3)], outputs=(ours, theirs))
