"""Every problem code: its severity, what it means, and what follows from it. docs/codes.md is made from this table.

Nothing else decides by a code: statuses and the rest of the logic read the fields of a Problem, or ask the functions below.
"""
from typing import Any

from .model import CRITICAL, INFO, WARNING, Problem

LOSES_DATA = 'loses_data'               # of the object, something is missing or cannot be read: it is not complete
BLOCKS_START = 'blocks_start'           # the engine, or this container, does not start with it, or the engine does not list it
HIDES = 'hides'                         # marks of layers cannot be seen: what is read of them may be incomplete
PASSES = 'passes'                       # another run may not have it
DELETES = 'deletes'                     # the engine deletes the object when it starts or prunes
LIVE = 'live'                           # the object was in use while it was read
IN_IMAGE = 'in_image'                   # what is missing is of the image: the merged file system is not whole
LEFT_OUT = 'left_out'                   # nobody asked for it
MORE_ON_DISK = 'more_on_disk'           # of the object, more is on this disk than is written: its own bundle is not complete
GUESSED = 'guessed'                     # the writable layer of the container is one that fits, no record says that it is
LOG_ELSEWHERE = 'log_elsewhere'         # the logs of the container are not among its files

CODES = {
    # the host and its roots
    'NO_DATA_ROOT': (CRITICAL, 'No Docker data root was found in any of the places where one can be.', LOSES_DATA),
    'DATA_ROOT_EMPTY': (CRITICAL, 'A data root holds no container, image or volume; usually its disk is not mounted or '
                                  'another path is the real one.', LOSES_DATA),
    'DATA_ROOT_NOT_MOUNTED': (CRITICAL, 'fstab names a disk for this path, but it is not mounted.', LOSES_DATA),
    'DATA_ROOT_MISSING': (CRITICAL, 'A configuration names a data root that does not exist on this disk.', LOSES_DATA),
    'CONFIG_UNREADABLE': (WARNING, 'A configuration file that may name the data root cannot be read.'),
    'DATA_ROOT_COPY': (WARNING, 'A folder has containers of another data root, as a backup has. It was not looked at.'),
    'DATA_ROOT_UNREADABLE': (CRITICAL, 'The data root exists but may not be read by this user.', LOSES_DATA),
    'DRIVER_FOLDER_EMPTY': (CRITICAL, 'Containers are recorded, but the folder of their storage driver is empty: '
                                      'probably a file system of its own that is not mounted.', LOSES_DATA, BLOCKS_START),
    'DAEMON_JSON_DAMAGED': (WARNING, 'daemon.json cannot be parsed; what it may say about the data root is unknown.', BLOCKS_START),
    'HIDDEN_STORE': (INFO, 'Containers of a storage driver that the daemon does not use now. Docker does not list them; '
                           'they are hidden, not lost.'),
    'PRIVILEGES_MISSING': (WARNING, 'Without root, trusted.* attributes and other users\' files cannot be read: deleted '
                                    'files look as if they were there, and files are missing. Root inside a container '
                                    'needs CAP_SYS_ADMIN for these attributes.', LOSES_DATA, HIDES, PASSES),
    'VM_DISK': (INFO, 'A file is the disk of a virtual machine or an appliance. Containers may be in it.'),
    'SNAPSHOT_FOUND': (INFO, 'Snapshots of snapper, Timeshift, ZFS or LVM, or folders below .snapshots, have the data root as it was.'),
    'SWARM_REMOVED_AT_NEXT_START': (CRITICAL, 'The certificate of a swarm node is missing. The next start of dockerd deletes '
                                              'everything in swarm/: the raft log with services and secrets, keys and state.'),
    'SWARM_MANAGER': (INFO, 'The host was a manager of a swarm. The state of the swarm is not in the bundles of its containers.', LEFT_OUT),
    'SWARM_LOCKED': (CRITICAL, 'The state of the swarm on this manager is locked (autolock), and its unlock key was not given, or another one.',
                     LOSES_DATA),
    'SWARM_STATE_LOST': (CRITICAL, 'Nothing of the state of the swarm on this manager can be read: services, networks, secrets and configs.',
                         LOSES_DATA),
    'SWARM_STATE_PARTIAL': (CRITICAL, 'The state of the swarm on this manager is damaged: some of its services, networks, secrets and configs may '
                                      'be missing, or older than they were.', LOSES_DATA),
    'SWARM_LOG_TORN': (INFO, 'The end of the raft log was being written when the host died, or a damaged snapshot was not needed. Nothing is missing.'),
    'SWARM_SECRETS_LEFT_OUT': (INFO, 'The content of the secrets of a swarm was read, and not written, because include does not name secrets.', LEFT_OUT),
    'SWARM_VOLUMES_LEFT_OUT': (WARNING, 'The swarm had cluster volumes (CSI). Their definitions are not read, and their data are not on this disk.'),
    'SWARM_UNCOMMITTED': (INFO, 'The raft log of this manager ends with changes that the other managers may not have.'),
    # a disk that is attached
    'JOURNAL_IGNORED': (WARNING, 'A file system was mounted without its journal: what was written in the last seconds before '
                                 'the host died may be missing, or old.'),
    'FILE_SYSTEM_NOT_MOUNTED': (CRITICAL, 'A file system of the disk could not be mounted; what it holds was not read.'),
    'PARTITIONS_DAMAGED': (WARNING, 'The partition table of the disk is damaged, or names partitions that do not fit into it.'),
    'VOLUME_LOCKED': (CRITICAL, 'An encrypted volume (LUKS) of the disk was not opened; what it holds was not read.'),
    'LAYER_NOT_ATTACHED': (CRITICAL, 'A layer of the disk (LVM, md, an image inside it, thin devices) could not be attached; what it '
                                     'holds was not read.'),
    'DISK_MEMBER_MISSING': (WARNING, 'A RAID or a volume group of the disk lacks some of its devices.'),
    # a repair in place
    'ROOT_IN_USE': (CRITICAL, 'A daemon, a container or a mount still uses this data root, or another machine may use it. Nothing is repaired.'),
    'ROOT_LAYOUT_UNKNOWN': (CRITICAL, 'The repair does not know the layout of this data root. Nothing is repaired.'),
    'ROOT_COPY_INCOMPLETE': (CRITICAL, 'The data root is a copy that lost device nodes, links, extended attributes or owners. It looks whole, but '
                                       'deleted files are back, or files have the wrong owner. Nothing is repaired.'),
    # a dump of a database
    'DUMP_BUNDLE_REFUSED': (WARNING, 'No dump is made out of a bundle that is damaged, incomplete, or there twice.'),
    'DUMP_CONTAINER_RUNS': (WARNING, 'A database of a container that runs is not dumped: its own tools do that.'),
    'DUMP_FOREIGN_ARCH': (WARNING, 'The programs of the image are for another processor than this machine has.'),
    'DUMP_LAYERS_LOST': (WARNING, 'Layers of the container are missing, so its database server cannot be started, and no other image has the same server.'),
    'DUMP_NO_BINARY': (WARNING, 'The image has no server of this database, or no program that writes a dump.'),
    'DUMP_NO_SPACE': (WARNING, 'There is no room for the copy-on-write view in which the database would be recovered.'),
    'DUMP_PARTIAL': (WARNING, 'A dump was written, and something is missing in it.', LOSES_DATA),
    'DUMP_SERVER_FAILED': (WARNING, 'The database server did not start on the data, or its dump program failed. The log is beside the dumps.'),
    'DUMP_TIMEOUT': (WARNING, 'The database server was not ready, or its dump not whole, within the time limit.', PASSES),
    'DUMP_UNSAFE_HERE': (WARNING, 'A database server of a dead container is not started here: no root, no namespaces, or layers that the kernel '
                                  'cannot show.'),
    'DUMP_UNSUPPORTED': (WARNING, 'A database of a kind of which no dump is made.'),
    'DUMP_VERSION_MISMATCH': (WARNING, 'The server in the image is not of the version of the data.'),
    # stores and databases of engines without a daemon
    'RECORDS_DAMAGED': (CRITICAL, 'layers.json, containers.json or images.json of a graph root (containers/storage) cannot be read. Every '
                                  'podman, buildah and crio command fails with it.', BLOCKS_START),
    'VOLATILE_RECORD_LOST': (CRITICAL, 'A file of volatile records of a graph root is empty, as a power cut leaves it, while layers of containers '
                                       'are there. A start of crio, or podman system prune --external, deletes these layers.', DELETES),
    'STORE_WIPED_AT_NEXT_START': (CRITICAL, 'CRI-O was not stopped in an orderly way: crio wipe, which runs before its next start, deletes the '
                                            'whole graph root, also what Podman has in it.', DELETES),
    'LAYER_INCOMPLETE': (CRITICAL, 'A layer is marked as incomplete: it was being made or removed. The next podman, buildah or crio command '
                                   'deletes it.', DELETES),
    'LAYER_STAGED': (CRITICAL, 'A layer whose removal was begun: its folder was moved aside and is deleted by the next podman, buildah or crio '
                               'command.', DELETES),
    'STATE_DB_DAMAGED': (WARNING, 'The database of Podman (db.sql or bolt_state.db) is damaged. Containers, layers, images and volumes are found '
                                  'without it; definitions and states may be missing.', BLOCKS_START),
    'STATE_DB_MISSING': (WARNING, 'The database of Podman is missing: podman ps shows nothing. Containers, layers, images and volumes are found '
                                  'without it; definitions and states are missing.', BLOCKS_START),
    'STATE_DB_HOT': (INFO, 'Podman was writing its database when the host died. The half-written transaction was taken back in memory, as SQLite '
                           'does it on the disk.'),
    'STATE_RECORD_LOST': (WARNING, 'The record of a container in the database of its engine is lost; what is known comes from its store and its '
                                   'runtime spec.', BLOCKS_START),
    'NO_STATE_RECORD': (INFO, 'A container of the store that Podman has no record of: another program made it, such as Buildah.'),
    'IN_POD': (INFO, 'A container of a pod. The pod itself, its infra container and its published ports are not in the bundle.'),
    'MOUNT_WRITES_LEFT': (WARNING, 'What a container wrote to a mount with :O, or to an image that it had mounted read-write, is not rescued: it '
                                   'is in no layer. The engine empties it when the container stops.', LOSES_DATA, DELETES),
    'CLUSTER_DB_UNREAD': (INFO, 'A database of the API server (etcd, that of k3s, or dqlite) is on this node and was not read. What it says of pods and claims '
                                'is not used.'),
    'CLUSTER_DB_DAMAGED': (INFO, 'A database of the API server (etcd, or that of k3s) could be read in part: pages or objects of it are damaged, or objects '
                                 'are encrypted at rest. What it says of some pods and claims is not known.'),
    'EMPTYDIR_OF_POD': (INFO, 'A volume that is the emptyDir of a pod: kubelet deletes it with the pod.', DELETES),
    'VOLUME_EMPTY_HERE': (WARNING, 'An emptyDir with nothing in it: nothing was written to it, or it lay in memory. The disk does not tell which.'),
    'SUBPATH_UNKNOWN': (INFO, 'A container had a folder or file of a volume mounted. Which one is only in the specification of its pod; the whole volume '
                              'is rescued.'),
    'VOLUME_LAYER_ONLY': (INFO, 'A volume that is a layer over an image: what was written to it is kept, not the image.'),
    # a container's records
    'CONFIG_DAMAGED': (WARNING, 'config.v2.json is missing, empty or damaged; dockerd does not list this container.', LOSES_DATA, BLOCKS_START),
    'HOSTCONFIG_DAMAGED': (WARNING, 'hostconfig.json is empty or damaged; limits, ports and restart policy are unknown.',
                                    LOSES_DATA, BLOCKS_START),
    'CONFIG_MISMATCH': (WARNING, 'config.v2.json carries the ID of another container; dockerd rejects it.', LOSES_DATA, BLOCKS_START),
    'CONFIG_FROM_TEMP': (INFO, 'The newest complete record was in a temporary file of an interrupted write.'),
    'NAME_UNKNOWN': (WARNING, 'The name of the container was only in the damaged record.', LOSES_DATA),
    'OWNERS_ASSUMED': (INFO, 'The IDs of a user namespace are not in /etc/subuid and /etc/subgid of the dead host. Owners of files were mapped by an '
                             'assumption, or only in part.'),
    'NAME_CONFLICT': (WARNING, 'Two containers carry the same name.', BLOCKS_START),
    'REMOVED_AT_NEXT_START': (CRITICAL, 'The next start of the engine deletes this container: dockerd one that was started with --rm (its anonymous '
                                        'volumes stay, but belong to nobody: the next docker volume prune deletes them), the first podman command '
                                        'after a reboot the same with its anonymous volumes, crio each one after a reboot, kubelet each dead '
                                        'container of which there is a newer attempt, and static pods without a manifest.', DELETES),
    'REPLACED_AT_NEXT_START': (WARNING, 'Kubernetes does not start a container again: the next start of kubelet makes a new one with an empty writable '
                                        'layer. The old one is deleted when the new one was replaced too, or with its pod.', DELETES),
    'REMOVAL_INTERRUPTED': (CRITICAL, 'The container was being removed; parts of its layer may be gone. A start of dockerd lists it '
                                      'as dead and removes nothing more of it; docker rm and docker container prune do.',
                                      LOSES_DATA, BLOCKS_START, DELETES),
    # layers
    'WRITABLE_LAYER_LOST': (CRITICAL, 'The folder of the writable layer does not exist.', LOSES_DATA, BLOCKS_START),
    'WRITABLE_LAYER_LIKELY': (WARNING, 'The record that says which writable layer belongs to this container is lost. The named '
                                       'layer is the only one that fits. Compare its content before you use it.', BLOCKS_START, GUESSED),
    'WRITABLE_LAYER_UNKNOWN': (CRITICAL, 'No record says which writable layer belongs to this container, and not exactly one '
                                         'fits.', LOSES_DATA, BLOCKS_START),
    'LAYER_LINKS_DAMAGED': (INFO, 'The files link or lower, or the links in l/, of overlay2 are damaged. The order of layers '
                                  'was taken from layerdb.', BLOCKS_START),
    'LAYER_ORDER_FALLBACK': (WARNING, 'layerdb is damaged; the order of layers was taken from another source.', BLOCKS_START),
    'LAYER_ORDER_CONFLICT': (WARNING, 'Two sources disagree about the order of layers.'),
    'IMAGE_LAYER_LOST': (WARNING, 'The folder of an image layer is missing or empty: files of the image are missing in '
                                  'the merged file system. The writable layer is not affected.', LOSES_DATA, BLOCKS_START),
    'IMAGE_LAYER_UNKNOWN': (WARNING, 'An image layer is not recorded on this disk.', LOSES_DATA, BLOCKS_START, IN_IMAGE),
    'IMAGE_OTHER_PLATFORM': (WARNING, 'An image is on this disk for several platforms, and only one of them is listed and rescued.', MORE_ON_DISK),
    'IMAGE_CONFIG_LOST': (WARNING, 'The image\'s config is missing or does not match its digest.'),
    'IMAGE_LAYER_DAMAGED': (WARNING, 'Files of an image layer are not what the image says they are.', LOSES_DATA),
    'IMAGE_LAYER_REBUILT': (WARNING, 'An image layer could not be restored byte by byte. It was made from its files, and has another '
                                     'digest.'),
    'IMAGE_LAYER_UNVERIFIED': (INFO, 'Nothing on this disk says what is in this image layer: it could not be checked.'),
    'IMAGE_ATTRIBUTES': (WARNING, 'Some extended attributes are left out of the image: docker load does not keep them, or a storage '
                                  'driver uses their names for itself.'),
    'IMAGE_ATTRIBUTES_BY_STORE': (INFO, 'The image has extended attributes that not every version of Docker keeps when it loads the image.'),
    'IMAGE_TOO_DEEP': (WARNING, 'With the writable layer of the container the image has more layers than the storage drivers of Docker load.'),
    'IMAGE_SPARSE': (INFO, 'Holes of a writable layer are left out of the image.'),
    'LAYER_METADATA_DAMAGED': (INFO, 'An entry of layerdb is damaged; dockerd ignores it.'),
    'LAYER_REMOVING': (INFO, 'A layer whose removal was interrupted; its data may still be complete.'),
    'BUILD_CACHE': (INFO, 'Layers of BuildKit\'s cache, which no image uses. They hold nothing that a container wrote.'),
    'STORE_UNREACHABLE': (CRITICAL, 'The layers lie in containerd\'s store, which is not on this disk.', LOSES_DATA, BLOCKS_START),
    'DRIVER_UNSUPPORTED': (WARNING, 'The storage driver does not keep layers as files.', LOSES_DATA),
    'METADATA_DB_DAMAGED': (WARNING, 'A bbolt database is damaged; what it holds was taken from folders instead.', BLOCKS_START),
    'METADATA_DB_MISSING': (CRITICAL, 'A database of containerd is missing while its data are there. containerd starts without it, '
                                      'and its next garbage collection deletes every snapshot and blob that it does not name.'),
    'NETWORK_DB_DAMAGED': (WARNING, 'The database of user-defined networks is damaged or gone. The networks of a container are those that it recorded '
                                    'itself; chosen subnets, options and labels may be missing.', BLOCKS_START),
    'REFERENCES_DAMAGED': (WARNING, 'repositories.json is damaged: images keep their IDs but lose their tags; dockerd '
                                    'does not start with it.', BLOCKS_START),
    # mounts, volumes, logs
    'MOUNT_MISSING': (CRITICAL, 'fstab or a mount unit of the host names a disk for the place of a volume or bind, and it is not mounted: the folder '
                                'is empty here.', LOSES_DATA),
    'MOUNT_POINT_FILLED': (WARNING, 'fstab or a mount unit of the host names a disk for the place of a volume or bind, and it is not mounted, but there '
                                    'are files: a copy, or only what lay below the mount point.'),
    'VOLUME_LOST': (CRITICAL, 'The volume\'s folder does not exist.', LOSES_DATA, BLOCKS_START),
    'VOLUME_OPTIONS_DAMAGED': (WARNING, 'opts.json is empty or damaged; dockerd does not start with it. The data are '
                                        'not affected.', BLOCKS_START),
    'VOLUME_NOT_ON_DISK': (WARNING, 'The volume\'s data lie on another server or with a plugin.', LOSES_DATA),
    'VOLUME_IS_LINK': (WARNING, 'The volume\'s folder is a symbolic link: kept as a link, not followed.', LOSES_DATA),
    'BIND_MISSING': (WARNING, 'The source of a bind mount does not exist on this disk.', LOSES_DATA),
    'BIND_THROUGH_LINK': (WARNING, 'The path of a bind mount contains a link that a container could have made. It is not followed.', LOSES_DATA),
    'BIND_TOO_WIDE': (WARNING, 'The source of a bind mount contains the data root or the system itself. It is left out.'),
    'TMPFS_LOST': (INFO, 'tmpfs data were in memory only.'),
    'LOG_NOT_ON_DISK': (INFO, 'The log driver keeps nothing under the data root.', LOG_ELSEWHERE),
    'LOG_DAMAGED': (INFO, 'A log file is missing, or parts of one, or of the journal of the host, could not be read.'),
    'LOG_NOT_WHOLE': (INFO, 'The journal of the host has the logs of a container only in part, or not at all: it was rotated, or dropped them.'),
    'LOG_OTHER_WRITERS': (WARNING, 'Programs other than the engine wrote to the journal of the host in the name of a container.'),
    # the rescue itself
    'NOT_WRITTEN': (CRITICAL, 'A bundle could not be written; nothing of it is under its final name.', LOSES_DATA),
    'DEST_ON_SOURCE': (WARNING, 'dest is on the file system that is rescued: writing there can overwrite deleted data.'),
    'DEST_NOT_MOUNTED': (WARNING, 'dest is a folder for mounts, but nothing is mounted there. The bundles fill another disk.'),
    'DEST_IN_MEMORY': (WARNING, 'dest is a file system in memory: its bundles are gone when the machine is switched off.'),
    'OLD_BUNDLE_KEPT': (WARNING, 'An earlier bundle was better than the new one and stays beside it.'),
    'SECRETS_LEFT_OUT': (INFO, 'Values of secrets of the engine are not in the bundles, because include does not name secrets, or no container has them.',
                         LEFT_OUT),
    'SECRET_LOST': (WARNING, 'The value of a secret was asked for and is not on this disk, or damaged.', LOSES_DATA),
    'NOT_INCLUDED': (INFO, 'Data of a container\'s mounts are not in its bundle, because include leaves that kind out.', LEFT_OUT),
    'IMAGE_LEFT_OUT': (WARNING, 'There was no room for the image. Everything else was rescued.'),
    'BIND_LEFT_OUT': (WARNING, 'There was no room for the folder of a bind mount. Everything else was rescued.'),
    # a restore
    'ENGINE_LACKS': (WARNING, 'The engine that a bundle was restored on does not know, or refuses, something that the definition asks for. It was '
                              'made without that.'),
    'NOT_AS_ASKED': (WARNING, 'The engine made a container, a network or a volume, and shows a setting otherwise than it was asked for.'),
    'SECRET_NOT_COMPARED': (WARNING, 'The engine that a bundle was restored on has a secret of that name already, and does not tell its value. It was '
                                     'left as it is.'),
    'NOT_SHOWN': (INFO, 'The engine took a setting and does not show it, so it is not known whether the setting counts.'),
    # deleted, but still open
    'DELETED_STILL_OPEN': (CRITICAL, 'The folder of a volume or a bind mount is deleted, and the container still runs: its processes hold deleted '
                                     'files. They are gone when the container stops.'),
    'CONTAINER_WITHOUT_RECORD': (CRITICAL, 'A container runs, and no data root has a record of it: all that can be rescued is what its processes have '
                                           'open.', LOSES_DATA),
    'OPEN_FILE_UNNAMED': (WARNING, 'A deleted file that a process has open could not be named.'),
    'OPEN_FILES_MOVING': (WARNING, 'The processes of a container went on while its open files were read.'),
    'REACHED_THROUGH_PROCESS': (INFO, 'Data that are not on the disk any more were read through the mount of a running process.'),
    'NOTHING_OPEN': (INFO, 'Open files were asked for, and no process of the containers has a deleted file.'),
    # reading
    'DEPLOYMENT_INCOMPLETE': (INFO, 'An original file that labels, compose files or units name was not taken: it is not on this disk, or was '
                                    'refused.'),
    'DEPLOYMENT_CREDENTIALS': (INFO, 'Credentials of registries, or keys of other hosts, are in a home and were not taken.'),
    'DEPLOYMENT_DIFFERS': (WARNING, 'Containers ran otherwise than the original compose files say. Compose would make them anew.'),
    'READ_ERROR': (WARNING, 'A file or folder could not be read; everything else was.', LOSES_DATA, PASSES),
    'FILE_CHANGED': (WARNING, 'A file changed while it was read.'),
    'CRASH_CONSISTENT': (WARNING, 'The container was running while it was read. Its files are as after a power cut.', LIVE),
    'SOCKET_SKIPPED': (INFO, 'Sockets hold no data and are left out.'),
    'WHITEOUT_NAME': (WARNING, 'A real file is named .wh.*: in a layer archive this name means a deletion.'),
}


def problem(code: str, obj: Any, message: Any, next_step: Any = '') -> Problem:
    """A model.Problem with the severity of the table; its texts are shown (wording.show). KeyError for a code that is not in it."""
    return Problem.shown(code, CODES[code][0], obj, message, next_step, has(code, LOSES_DATA), has(code, BLOCKS_START))


def has(code: str, mark: str) -> bool:
    """Does the table say MARK of CODE? False for codes that are not in it: a manifest may hold any."""
    return mark in CODES.get(code, ('', ''))[2:]
