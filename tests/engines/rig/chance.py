"""Images and containers of random contents: made of one seed, the same every time.

Each seed makes an image of random layers by `docker load`, one on top of it by each builder, one by `docker commit`, and
a running container of each, in whose files random things are done. Nothing here knows what should come of it; that is
what the engine says (truth.py).
"""
import os
import random
import shutil
import socket
import stat
import tarfile

from . import scenario, wild

NAMES = (b'a', b'b', b'conf', b'data.bin', b'two words', b'new\nline', b'latin-\xe9', b'\xff\xfe', b'%s', b'-rf', b'"quoted\'',
         b'back\\slash', b'\xf0\x9f\x90\xb3', b'e\xcc\x81', b'$(id)', b'\x01\x1b[31m', b'x' * 200, b'.hidden', b'a:b', b'#x', b'*')
PLAIN = ('one', 'two', 'three', 'four', 'five')
# below these the random things are done; the rest of the image keeps the container alive
PLACES = (b'/opt', b'/pristine', b'/home', b'/var/chance')
MODES = (0o644, 0o600, 0o755, 0o4755, 0o2750, 0o1777, 0o000, 0o444, 0o7777)
OWNERS = ((0, 0), (999, 998), (1000, 1000), (wild.FAR_UID, wild.FAR_GID), (wild.HUGE_UID, 5))
TIMES = (0, 1, 946684800, 946684800 * 10 ** 9 + 123456789, 10 ** 18 + 1, 2147483648 * 10 ** 9, 4102444800 * 10 ** 9 + 999999999,
         -18489600 * 10 ** 9, -18489600 * 10 ** 9 + 123456789)


def images_of(seed):
    """{what made it: tag} of the images of one seed."""
    return {how: 'chance/%s:%d' % (how, seed) for how in ('loaded', 'classic', 'kit', 'commit')}


def containers_of(seed):
    """Names of the containers of one seed."""
    return ['chance-%s-%d' % (how, seed) for how in images_of(seed)]


def fill(seeds):
    """The function that fills an engine with SEEDS, for dead.build()."""
    def filler(engine):
        engine.docker('import', '-c', 'CMD ["/bin/sh"]', '-', scenario.BASE, stdin=scenario.base_tar())
        for seed in seeds:
            _fill(engine, seed)
    return filler


def _fill(engine, seed):
    rng = random.Random(seed)
    tags = images_of(seed)
    layers = [scenario.base_tar()] + [layer(rng) for dummy in range(rng.randint(1, 3))]
    engine.docker('load', stdin=scenario.loadable(layers, tags['loaded']))
    engine.build(context(rng, tags['loaded'], False, engine.kind.newer), tags['classic'])
    engine.build(context(rng, tags['loaded'], True, engine.kind.newer), tags['kit'], buildkit=True)
    for how in ('loaded', 'classic', 'kit'):
        _run(engine, rng, how, seed, tags)
    engine.docker('commit', 'chance-%s-%d' % (rng.choice(('loaded', 'classic', 'kit')), seed), tags['commit'])
    _run(engine, rng, 'commit', seed, tags)


def _run(engine, rng, how, seed, tags):
    name = 'chance-%s-%d' % (how, seed)
    engine.docker('run', '-d', '--name', name, '--network', 'none', tags[how], '/bin/sleep', '100000')
    wild.inside('/proc/%d/root' % engine.container_pid(name), change, rng.randrange(1 << 30), rng.randint(40, 120))


# -- image layers ------------------------------------------------------------------------------------------------------------


def layer(rng):
    """Bytes of a layer's tar: new files of every sort, deletions and opaque folders of what the base image has."""
    made = scenario._Base()  # pylint: disable=protected-access
    made.add('opt')
    made.add('pristine')
    for name in rng.sample(wild.PRISTINE_FILES, min(3, len(wild.PRISTINE_FILES))):
        made.add('pristine/.wh.' + name, b'')
    folder = rng.choice(wild.PRISTINE_DIRS)
    made.add('pristine/' + folder, mode=rng.choice((0o755, 0o700)))
    made.add('pristine/%s/.wh..wh..opq' % folder, b'')
    made.add('pristine/%s/mine' % folder, b'mine')
    top = 'opt/layer-%d' % rng.randrange(1 << 20)
    _tree(rng, made, top)
    return made.finish()


def _tree(rng, tar, top):
    """Random members below TOP, with attributes, owners and names of every sort."""
    tar.add(top)
    files = []
    for number in range(rng.randint(4, 16)):
        name = '%s/%d-%s' % (top, number, os.fsdecode(rng.choice(NAMES)))
        what = rng.random()
        pax = {}
        if rng.random() < 0.3:
            pax['SCHILY.xattr.user.note'] = os.fsdecode(bytes(rng.randrange(1, 256) for dummy in range(9)))
        if rng.random() < 0.2:
            pax['SCHILY.xattr.system.posix_acl_access'] = os.fsdecode(wild.acl(*wild.SOME_ACL))
        if what < 0.5:
            if rng.random() < 0.3:
                pax['SCHILY.xattr.security.capability'] = os.fsdecode(wild.capability(1 << rng.randrange(20)))
            tar.add(name, rng.randbytes(rng.choice((0, 1, 511, 512, 513, 5000, 70000))), mode=rng.choice(MODES),
                    owner=rng.choice(OWNERS), pax=pax)
            files.append(name)
        elif what < 0.6:
            tar.add(name, mode=rng.choice((0o755, 0o700, 0o2775)), owner=rng.choice(OWNERS), pax=pax)
            tar.add(name + '/inner', b'inner')
        elif what < 0.75:
            tar.add(name, kind=tarfile.SYMTYPE, link=rng.choice(('../..', '/etc/passwd', 'nowhere', 'x' * 150)), mode=0o777)
        elif what < 0.85 and files:
            tar.add(name, kind=tarfile.LNKTYPE, link=rng.choice(files))
        else:
            tar.add(name, kind=tarfile.FIFOTYPE, mode=0o622)


def context(rng, base, kit, newer):
    """Bytes of a build context whose Dockerfile uses every form that its builder knows."""
    tar = scenario._Base()  # pylint: disable=protected-access
    for name in PLAIN:
        tar.add('files/' + name, rng.randbytes(rng.choice((0, 10, 4097))), mode=rng.choice((0o644, 0o600, 0o755)))
    _tree(rng, tar, 'tree')
    lines = ['FROM %s AS maker' % base, 'RUN mkdir -p /made && ' + _shell(rng, '/made'), 'COPY files /made/files', 'FROM ' + base]
    forms = ['COPY --from=maker /made /opt/made', 'COPY --from=maker --chown=%d:%d /made/files /opt/owned' % rng.choice(OWNERS),
             'COPY tree /opt/tree', 'COPY --chown=999:998 files /opt/files', 'ADD files/one /opt/added/',
             'RUN mkdir -p /opt/run && ' + _shell(rng, '/opt/run'), 'RUN rm -rf /opt/from-base && mkdir /opt/from-base',
             'RUN mv /pristine/%s /opt/moved' % rng.choice(wild.PRISTINE_DIRS), 'RUN chmod 0711 /home/user && touch /home/user/new',
             'ENV CHANCE=%d' % rng.randrange(100), 'WORKDIR /var/work/deep', 'VOLUME /data', 'LABEL a.b="c d"']
    if kit:
        forms.append('RUN --mount=type=cache,target=/cache touch /cache/x && echo cached > /opt/cached')
        forms.append('RUN --mount=type=bind,from=maker,source=/made,target=/there cp -r /there/files /opt/there')
        if newer:
            forms += ['COPY --link files /opt/linked', 'COPY --link --from=maker --chown=7:8 /made /opt/linked-made',
                      'RUN <<EOF\nmkdir -p /opt/heredoc\necho here > /opt/heredoc/file\nEOF',
                      'COPY --chmod=0640 <<EOF /opt/heredoc-copied\nhere\nEOF']
    chosen = [form for form in forms if rng.random() < 0.75]
    rng.shuffle(chosen)
    tar.add('Dockerfile', ('\n'.join(lines + chosen) + '\n').encode())
    return tar.finish()


def _shell(rng, where):
    """A command line that makes and changes files below WHERE."""
    steps = []
    for number in range(rng.randint(3, 8)):
        name = '%s/%s-%d' % (where, rng.choice(PLAIN), number)
        steps.append(rng.choice((
            'echo %d > {0}', 'mkdir -p {0}/deep && echo %d > {0}/deep/file', 'ln -s /etc/{0} {0}', 'mkfifo {0}',
            'head -c 3000 /dev/zero > {0} && chmod 4755 {0}', 'echo %d > {0} && ln {0} {0}-hard',
            'echo %d > {0} && chown 5:6 {0} && touch -d 2001-02-03 {0}')).replace('%d', str(rng.randrange(1000))).format(name))
    return ' && '.join(steps)


# -- a running container -------------------------------------------------------------------------------------------------------


def change(seed, count):
    """Do COUNT random things below PLACES of the root that this process has."""
    rng = random.Random(seed)
    os.makedirs(b'/var/chance', exist_ok=True)
    done = 0
    for dummy in range(count):
        files, folders = _what_there_is(rng)
        action = rng.choice(ACTIONS)
        try:
            action(rng, rng.choice(files) if files else None, rng.choice(folders))
            done += 1
        except (OSError, TypeError):    # moved across layers, or nothing of that sort is left
            continue
    if done < count // 3:
        raise RuntimeError('only %d of %d things could be done' % (done, count))


def _what_there_is(rng):
    files, folders = [], []
    for place in PLACES:
        for folder, inner, names in os.walk(place):
            folders.append(folder)
            files.extend(os.path.join(folder, name) for name in names + inner)
            if len(files) > 500:
                break
    return sorted(files), sorted(folders)


def _new(rng, folder):
    return os.path.join(folder, b'%d-%b' % (rng.randrange(1 << 24), rng.choice(NAMES)))


def _plain(path):
    return path is not None and stat.S_ISREG(os.lstat(path).st_mode)


def _write(rng, path, folder):
    wild.write(_new(rng, folder), rng.randbytes(rng.choice((0, 1, 512, 4096, 100000))), mode=rng.choice(MODES), owner=rng.choice(OWNERS))


def _append(rng, path, folder):
    if _plain(path):
        with open(path, 'ab') as handle:
            handle.write(rng.randbytes(rng.choice((1, 5000))))


def _overwrite_with_the_same_size_and_time(rng, path, folder):
    """What docker diff does not see; the rescue has the new bytes all the same."""
    if _plain(path):
        before = os.lstat(path)
        with open(path, 'r+b') as handle:
            handle.write(rng.randbytes(min(before.st_size, 100)))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _truncate(rng, path, folder):
    if _plain(path):
        os.truncate(path, rng.choice((0, 1, 3000000)))


def _sparse(rng, path, folder):
    with open(_new(rng, folder), 'wb') as handle:
        for dummy in range(rng.randint(0, 3)):
            handle.seek(rng.randrange(1 << 21))
            handle.write(rng.randbytes(rng.choice((1, 5000))))
        handle.truncate(rng.randrange(1 << 21, 1 << 22))


def _delete(rng, path, folder):
    if stat.S_ISDIR(os.lstat(path).st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _replace_folder(rng, path, folder):
    """Opaque, where the image has it."""
    if folder not in PLACES:
        shutil.rmtree(folder)
        os.mkdir(folder, rng.choice((0o755, 0o700)))
        wild.write(os.path.join(folder, b'after'), b'after')


def _other_type(rng, path, folder):
    _delete(rng, path, folder)
    rng.choice((os.mkdir, os.mkfifo, lambda target: os.symlink(b'elsewhere', target), lambda target: wild.write(target, b'x')))(path)


def _delete_and_make_again(rng, path, folder):
    if _plain(path):
        mode = os.lstat(path).st_mode
        os.unlink(path)
        wild.write(path, b'again', mode=stat.S_IMODE(mode))


def _move(rng, path, folder):
    os.rename(path, _new(rng, folder))


def _hard_link(rng, path, folder):
    os.link(path, _new(rng, folder), follow_symlinks=False)


def _symlink(rng, path, folder):
    target = _new(rng, folder)
    os.symlink(rng.choice((path, b'..', b'/', b'/nowhere', b'l/' * 80, b'new\nline-\xff')), target)
    os.lchown(target, *rng.choice(OWNERS))


def _folder(rng, path, folder):
    target = _new(rng, folder)
    os.mkdir(target)
    os.chown(target, *rng.choice(OWNERS))
    os.chmod(target, rng.choice((0o755, 0o700, 0o1777, 0o2775)))


def _mode(rng, path, folder):
    if not stat.S_ISLNK(os.lstat(path).st_mode):
        os.chmod(path, rng.choice(MODES) | (0o500 if stat.S_ISDIR(os.lstat(path).st_mode) else 0))


def _owner(rng, path, folder):
    os.lchown(path, *rng.choice(OWNERS))


def _same_owner(rng, path, folder):
    """Copied up, and not changed."""
    found = os.lstat(path)
    os.lchown(path, found.st_uid, found.st_gid)


def _time(rng, path, folder):
    wild.date(path, rng.choice(TIMES))


def _special(rng, path, folder):
    target = _new(rng, folder)
    kind = rng.choice((stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK))
    if kind == stat.S_IFSOCK:
        here = os.getcwdb()
        os.chdir(folder)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.basename(target)[:90])
        os.chdir(here)
        return
    os.mknod(target, kind | rng.choice((0o600, 0o666)), os.makedev(rng.choice((1, 7, 300)), rng.choice((3, 70000))))


def _attribute(rng, path, folder):
    name, value = rng.choice((
        ('user.note', rng.randbytes(20)), ('user.empty', b''), ('user.name = sign', b'1'), ('user.percent%', b'%'),
        ('trusted.lifeboat', rng.randbytes(5)), ('system.posix_acl_access', wild.acl(*wild.SOME_ACL)),
        ('system.posix_acl_default', wild.acl(*wild.SOME_ACL)), ('security.capability', wild.capability(1 << rng.randrange(30)))))
    os.setxattr(path, name, value, follow_symlinks=False)


ACTIONS = (_write, _write, _append, _overwrite_with_the_same_size_and_time, _truncate, _sparse, _delete, _delete, _replace_folder,
           _other_type, _delete_and_make_again, _move, _hard_link, _hard_link, _symlink, _folder, _folder, _mode, _owner, _same_owner,
           _time, _time, _special, _attribute, _attribute, _attribute)
