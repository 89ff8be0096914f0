"""fleet.py COLLECTION FOLDER: builds six hosts in FOLDER (their root folders), writes FOLDER/inventory, and then holds
the lock that a running dockerd holds, for the healthy ones, until it is ended. Prints `ready` before."""
import fcntl
import glob
import json
import os
import signal
import sys
import tarfile

COLLECTION, FOLDER = sys.argv[1:3]
sys.path.insert(0, os.path.join(COLLECTION, 'tests', 'fixtures'))
import deadroot  # noqa: E402

SAMPLES = os.path.join(COLLECTION, 'tests', 'unit', 'databases', 'data')


def host(name, **options):
    """(root folder, what deadroot put there)"""
    root = os.path.join(FOLDER, name)
    return root, deadroot.build(os.path.join(root, 'var', 'lib', 'docker'), host_root=root, **options)


def unpack(sample, where):
    os.makedirs(where, exist_ok=True)
    with tarfile.open(os.path.join(SAMPLES, sample + '.tar.xz')) as tar:
        for member in tar:
            path = os.path.join(where, member.name)
            if member.isdir():
                os.makedirs(path, exist_ok=True)
            else:
                with open(path, 'wb') as stream:
                    stream.write(tar.extractfile(member).read())


def rewrite(path, change):
    with open(path) as stream:
        content = json.load(stream)
    change(content)
    with open(path, 'w') as stream:
        json.dump(content, stream)


def everything_wrong():
    """Databases in a writable layer, orphan volumes with and without one, a log of 10 GiB, a mount nobody named."""
    root, built = host('wrong', containers=7, orphan_volumes=3)
    upper = os.fsdecode(built.containers[5].upper)
    unpack('mariadb-killed', os.path.join(upper, 'var', 'lib', 'mysql'))
    unpack('sqlite', os.path.join(upper, 'srv', 'app', 'db'))
    spare = os.fsdecode(built.volume('spare-0001').path)
    unpack('postgresql-clean', os.path.join(spare, '18', 'docker'))
    folder = os.fsdecode(built.containers[6].folder)
    ident = built.containers[6].id
    log = os.path.join(folder, ident + '-json.log')
    open(log, 'ab').close()
    os.truncate(log, 10 << 30)
    rewrite(os.path.join(folder, 'hostconfig.json'), lambda content: content.update(LogConfig={'Type': 'json-file', 'Config': {}}))
    rewrite(os.path.join(folder, 'config.v2.json'), lambda content: content.update(LogPath=log))
    web = built.container('web')

    def moved(content):
        for mount in content['MountPoints'].values():
            if mount['Destination'] == '/var/cache/app':
                mount['Destination'] = '/var/lib/app'
        content['Config'].setdefault('Labels', {})['lifeboat.audit.ignore'] = 'UNMOUNTED_VOLUME_PATH'
    rewrite(os.path.join(os.fsdecode(web.folder), 'config.v2.json'), moved)
    return root


def main():
    roots = {'healthy': host('healthy')[0], 'containerd': host('containerd', store='containerd')[0],
             'dead': host('dead', containers=5)[0], 'nodocker': os.path.join(FOLDER, 'nodocker'), 'wrong': everything_wrong()}
    os.makedirs(os.path.join(roots['nodocker'], 'etc'))
    with open(os.path.join(FOLDER, 'inventory'), 'w') as stream:
        stream.write('[fleet]\n')
        for name, root in roots.items():
            stream.write('%s ansible_connection=local audit_host_root=%s\n' % (name, root))
        stream.write('gone ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1 ansible_ssh_common_args="-o ConnectTimeout=2"\n')
        stream.write('broken ansible_connection=local audit_host_root=%s/none\n' % FOLDER)
        stream.write("[fleet:vars]\nansible_python_interpreter='{{ ansible_playbook_python }}'\n")
    held = []
    for name in ('healthy', 'containerd'):
        for path in glob.glob(os.path.join(roots[name], 'var/lib/docker/volumes/metadata.db')):
            held.append(open(path, 'rb'))
            fcntl.flock(held[-1], fcntl.LOCK_EX)
    print('ready', len(held), flush=True)
    signal.pause()


if __name__ == '__main__':
    main()
