"""Archives: a writable layer, a tree, one large file, a sparse one."""
import importlib
import os

import lab


@lab.work('archive')
def archive_work(source, target, form='tree', codec='auto', sums=True, files=None, layers=()):
    lab.importable()
    tree, union, model, archive, compress, sink = (importlib.import_module(lab.UTILS + '.' + name) for name in (
        'disk.tree', 'layers.union', 'records.model', 'archive.write', 'archive.compress', 'archive.sink'))
    folder, name = os.path.split(os.fsencode(target))
    source = os.fsencode(source)

    def run():
        with open(target + '.sha256', 'wb') as listed:
            with compress.Compressor(compress.pick(codec), sink.FileSink(folder, name, durable=False)) as packed:
                if layers:
                    stack = [model.Layer(os.fsencode(path), model.OVERLAY) for path in layers]
                    with union.View(stack) as view:
                        result = archive.write_tar(view.entries(), packed, form, sums=listed if sums else None)
                elif form == 'layer':
                    with union.View([model.Layer(source, model.OVERLAY)]) as view:
                        result = archive.write_tar(view.layer_entries(), packed, form, sums=listed if sums else None)
                else:
                    plain = tree.PlainTree(source)
                    result = archive.write_tar(plain.entries(), packed, form, sums=listed if sums else None,
                                               root_entry=plain.root_entry())
                packed.close()
        if result.failures_total or files is not None and result.files != files:
            raise SystemExit('the archive is not what it should be: %r' % (result,))
    return run


def case(here, label, source, references, form='tree', files=None, layers=(), **more):
    """A row of ours against command lines: DIR in them is the folder SOURCE, OUT a file."""
    target = here.path('ours.tar')
    theirs = here.path('theirs.tar.zst')
    return lab.Row(label, 'archive', {'source': source, 'target': target, 'form': form, 'files': files, 'layers': layers},
                   [lab.Reference(name, command.replace('OUT', theirs).replace('DIR', source), target_ratio)
                    for name, command, target_ratio in references],
                   outputs=(target, target + '.sha256', theirs), **more)


TAR = 'tar --xattrs --acls -c -C DIR . | zstd -q -T0 > OUT'


@lab.row('layer-small-files')
def small_files(here):
    count = here.count(100000)
    yield case(here, 'writable layer, %d files of 800 B, with checksums' % count, here.small_files(count), [
        ('tar --xattrs --acls | zstd -T0', TAR, 1.3),
        ('the same, then sha256sum of every file', TAR + '; find DIR -type f -print0 | xargs -0 sha256sum', 1.0),
    ], 'layer', count)


@lab.row('usr')
def usr(here):
    yield case(here, '600 MB of /usr, with checksums', here.usr(), [
        ('tar | zstd -T0', 'tar -c -C DIR . | zstd -q -T0 > OUT', 1.1)])


@lab.row('big-file')
def big_file(here):
    size = here.count(4 * 10**9)
    yield case(here, 'one file of %.1f GB, half compressible, checksum' % (size / 1e9), here.big_file(size), [
        ('tar | zstd -T0', 'tar -c -C DIR . | zstd -q -T0 > OUT', 1.05)])


@lab.row('sparse-file')
def sparse_file(here):
    yield case(here, 'sparse file of 100 GiB with 10 MB of data', here.sparse_file(), [
        ('tar --sparse | zstd', 'tar --sparse -c -C DIR . | zstd -q > OUT', 1.0)])


@lab.row('hard-links')
def hard_links(here):
    count = here.count(100000)
    yield case(here, '%d files with 2 names each, with checksums' % count, here.hard_links(count), [
        ('tar --xattrs --acls | zstd -T0', TAR, 1.3)], files=2 * count)


@lab.row('merged')
def merged(here):
    if os.geteuid() != 0:
        print('merged is not measured: overlay mounts and whiteouts need root')
        return
    count = here.count(50000)
    folder = here.overlay_layers(count)
    layers = [os.path.join(folder, name) for name in sorted(os.listdir(folder), reverse=True)]
    mounted = here.path('mounted')
    os.makedirs(mounted, exist_ok=True)
    mount = 'LIBMOUNT_FORCE_MOUNT2=always mount -t overlay overlay -o ro,lowerdir=%s %s; ' % (':'.join(os.path.basename(path) for path in layers), mounted)
    yield case(here, 'merged file system, 12 layers, %d files, checksums' % count, folder, [
        ('overlay mount, tar --xattrs --acls | zstd -T0',
         'cd %s; unshare -m sh -ec \'%star --xattrs --acls -c -C %s . | zstd -q -T0 > OUT\'' % (folder, mount, mounted), 1.2)],
        files=count, layers=layers)


@lab.row('linear-files')
def linear_files(here):
    for count in (6250, 25000, 100000):
        count = here.count(count)
        yield case(here, '%d files of 800 B' % count, here.small_files(count), [], 'layer', count, units=count)


@lab.row('linear-bytes')
def linear_bytes(here):
    for size in (250 * 10**6, 10**9, 4 * 10**9):
        size = here.count(size)
        yield case(here, 'one file of %d MB' % (size // 10**6), here.big_file(size), [], units=size)


def drop_caches():
    os.sync()
    with open('/proc/sys/vm/drop_caches', 'w') as handle:
        handle.write('3')


@lab.row('cold-small-files')
def cold_small_files(here):
    if os.environ.get('LIFEBOAT_BENCH_COLD') != '1' or os.geteuid() != 0:
        return
    count = here.count(25000)
    yield case(here, 'COLD: %d files of 800 B, with checksums' % count, here.small_files(count), [
        ('COLD: tar --xattrs --acls | zstd -T0', TAR, 1.3)], 'layer', count, before=drop_caches)


@lab.row('cold-big-file')
def cold_big_file(here):
    if os.environ.get('LIFEBOAT_BENCH_COLD') != '1' or os.geteuid() != 0:
        return
    size = here.count(10**9)
    yield case(here, 'COLD: one file of %d MB, with checksum' % (size // 10**6), here.big_file(size), [
        ('COLD: tar | zstd -T0', 'tar -c -C DIR . | zstd -q -T0 > OUT', 1.05)], before=drop_caches)
