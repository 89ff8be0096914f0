"""Loadable images beside `docker save` of a live engine. Ours is one bundle, checksums and the writable layer included."""
import importlib
import os
import shlex
import shutil

import lab
from rows_facts import client, engine


@lab.work('image')
def image_work(host_root, dest):
    lab.importable()
    registry, run = (importlib.import_module(lab.UTILS + '.' + name) for name in ('engines.registry', 'rescue.run'))

    def work():
        with registry.open_host(os.fsencode(host_root)) as host:
            result = run.rescue(host, run.Request(os.fsencode(dest), include=('image',), host_name='bench'))
        if [bundle['status'] for bundle in result['bundles']] != ['complete']:
            raise SystemExit('the image is not whole: %r' % (result['problems'],))
    return work


@lab.row('image')
def image(here):
    dest, theirs = here.path('rescued'), here.path('saved.tar')
    with engine('image') as running:
        if running is None:
            return
        source = here.usr()
        tree = here.path('usr.tar')
        os.system('tar -c -C %s -f %s .' % (shlex.quote(source), shlex.quote(tree)))
        os.rename(tree, running.outside('/srv/usr.tar'))
        running.docker('import', '-c', 'CMD ["/x"]', '/srv/usr.tar', 'large')
        os.unlink(running.outside('/srv/usr.tar'))
        running.docker('create', '--name', 'box', '--network', 'none', 'large')
        yield lab.Row('image.tar of a container, 600 MB, in a bundle', 'image', {'host_root': running.host_root, 'dest': dest},
                      [lab.Reference('docker save, live, then sha256sum',
                                     '%s > %s; sha256sum %s' % (client(running, 'save', 'large'), theirs, theirs))],
                      before=lambda: shutil.rmtree(dest, ignore_errors=True), outputs=(theirs,))
        shutil.rmtree(dest, ignore_errors=True)
