"""What is safe and what to do about each code, for docs/codes.md.

Not in records/codes.py, which is sent to every managed node: at run time each problem carries its own message and next step. Codes are
in the order of that table. Each entry: (what is safe, what to do, commands). The commands are checked against the parsers by
tests/unit/test_docs_commands.py.
"""
import typing

Text = typing.Tuple[str, str, str]

RESCUE_SAFE = 'A rescue is safe. It only reads this disk.'
NO_START = 'A rescue is safe. Do not start dockerd on this disk.'
ALL_SAFE = 'Everything is safe. Nothing is damaged.'
NOTHING_WRITTEN = 'Nothing was written.'
RESCUE = 'lifeboat rescue DEST'
RESCUE_NAME = 'lifeboat rescue DEST NAME'
LOOK = 'lifeboat look -v'
LOOK_NAME = 'lifeboat look -v NAME'
VERIFY = 'lifeboat verify DEST'
OVERLAY = '[over a copy-on-write overlay](outage.md#mount-a-disk-read-only)'
COPY = 'ddrescue -d /dev/sdX disk.img disk.map\nlifeboat --disk disk.img rescue DEST'
PULL = 'docker pull IMAGE@DIGEST'

DUMP_SAFE = 'A rescue is safe. The data were not changed by the try.'
TEXTS: typing.Dict[str, Text] = {
    # the host and its roots
    'NO_DATA_ROOT': (
        'Looking is safe. Do not start dockerd: it would make a new, empty data root.',
        'Check that the right disk is mounted. `--host-root` (`host_root`) is the folder in which its `etc` and `var` are. If you know '
        'the data root, name it.',
        'findmnt -R /mnt/dead\nlifeboat --host-root /mnt/dead look\nlifeboat --host-root /mnt/dead --data-root /srv/docker look'),
    'DATA_ROOT_EMPTY': (
        'Looking is safe. Do not start dockerd: it would write a new, empty store into the mount point.',
        'Look for a disk that is not mounted, and read the other problems of the host: they may name the real data root. Mount the disk '
        + OVERLAY + '.',
        'lsblk -f\ncat /mnt/dead/etc/fstab\nlifeboat --data-root DIR look'),
    'DATA_ROOT_NOT_MOUNTED': (
        NO_START,
        'Let the tool attach the disk: it replays the journal and does not write to the disk. Or mount it by hand ' + OVERLAY + '.',
        'lifeboat --disk /dev/sdX rescue DEST'),
    'DATA_ROOT_MISSING': (
        NO_START,
        'Mount the disk that has this folder. If it lies at another place now, name that place.',
        'lifeboat --data-root DIR look'),
    'CONFIG_UNREADABLE': (
        RESCUE_SAFE, 'Run as root (`become: true`). If you know the data root, name it.',
        'sudo lifeboat look\nsudo lifeboat --data-root DIR rescue DEST'),
    'DATA_ROOT_COPY': (
        RESCUE_SAFE, 'Nothing, if it is a backup, or what was left when the data root was moved. Otherwise rescue from it as well, to another place.',
        'lifeboat --data-root DIR look\nlifeboat --data-root DIR rescue DEST2'),
    'DATA_ROOT_UNREADABLE': (
        RESCUE_SAFE, 'Run as root (`become: true`). If the message says "Input/output error", copy the disk and read the copy.',
        'sudo lifeboat look\n' + COPY),
    'DRIVER_FOLDER_EMPTY': (
        NO_START, 'Find the file system that belongs there in `/etc/fstab` of the dead host. Attach the disk, or mount it ' + OVERLAY + '.',
        'grep docker /mnt/dead/etc/fstab\nlifeboat --disk /dev/sdX look'),
    'DAEMON_JSON_DAMAGED': (
        'A rescue is safe. dockerd does not start before the file is correct.',
        'If you know the data root, name it. To start dockerd again, correct the file: `json.tool` names the line.',
        'python3 -m json.tool /mnt/dead/etc/docker/daemon.json\nlifeboat --data-root DIR rescue DEST'),
    'HIDDEN_STORE': (
        'A rescue is safe: it reads every store. Do not prune: the images and anonymous volumes of hidden containers count as unused.',
        'Rescue first. `lifeboat repair` names the setting that shows these containers again.',
        RESCUE + '\nlifeboat repair'),
    'PRIVILEGES_MISSING': (
        'Reading is safe, but the result may be wrong: deleted files may be shown as present, and files of other users are missing.',
        'Run as root (`become: true`). In a container: start it with `--cap-add SYS_ADMIN`.',
        'sudo lifeboat rescue DEST'),
    'VM_DISK': (
        'Attaching is safe: the image is not written.', 'Attach it and look into it: [disks.md](disks.md).',
        'lifeboat --disk FILE look\nlifeboat --disk FILE --nested look'),
    'SNAPSHOT_FOUND': (
        'Reading a snapshot is safe. A rollback is not: it removes what is newer.',
        'If something is missing, read the snapshot: [undelete.md](undelete.md).', 'lifeboat --host-root /.snapshots/1/snapshot look'),
    'SWARM_REMOVED_AT_NEXT_START': (
        'A rescue is safe. A start of dockerd deletes the folder `swarm`.', 'Copy the folder before dockerd is started on this disk.',
        'cp -a /mnt/dead/var/lib/docker/swarm /srv/swarm'),
    'SWARM_MANAGER': (
        'A rescue is safe. It does not take the services, networks, configs and secrets of the swarm.', 'Write them as files: [swarm.md](swarm.md).',
        'lifeboat swarm DEST --include secrets'),
    'SWARM_LOCKED': (
        'Nothing was changed. Everything else of the host can be rescued.',
        'Give the unlock key. A living manager prints it with `docker swarm unlock-key`. Without the key nobody can read the state.',
        'lifeboat swarm DEST --unlock-key-file FILE'),
    'SWARM_STATE_LOST': (
        'Containers, images and volumes of the host can be rescued. A start of dockerd makes a new, empty swarm of a manager without its log.',
        'Every manager of a swarm has the same state: read another one. Copy the folder `swarm` before dockerd is started on this disk.',
        'cp -a /mnt/dead/var/lib/docker/swarm /srv/swarm\nlifeboat --host-root /mnt/other swarm'),
    'SWARM_STATE_PARTIAL': (
        'What was read can be used. Compare it with what you know before you deploy it.',
        'Every manager of a swarm has the same state: read another one, or an older copy of the folder `swarm`.',
        'lifeboat --host-root /mnt/other swarm'),
    'SWARM_LOG_TORN': ('Everything can be used.', 'Nothing has to be done: go on.', 'lifeboat swarm DEST'),
    'SWARM_SECRETS_LEFT_OUT': (
        'Without the content of secrets their services cannot be started elsewhere.', 'Ask for secrets, and keep the folder safe.',
        'lifeboat swarm DEST --include secrets'),
    'SWARM_VOLUMES_LEFT_OUT': (
        'Everything else of the swarm can be used.', 'Make the volumes again with the plugin, under their old names, before the stacks are deployed.',
        'docker volume create --driver PLUGIN --type mount --sharing none --scope single VOLUME'),
    'SWARM_UNCOMMITTED': (
        'Everything can be used. The last changes may never have taken effect.', 'Compare with another manager if there is one.',
        'lifeboat --host-root /mnt/other swarm'),
    # a disk that is attached
    'JOURNAL_IGNORED': (
        'Everything that was read is safe to keep. The files of the last seconds may be missing or old.',
        'Release the disk, install what the message names, and attach it again with `journal: replay`. The replay does not write to the disk.',
        'apt-get install qemu-utils qemu-system-common\nlifeboat --disk FILE rescue DEST'),
    'FILE_SYSTEM_NOT_MOUNTED': (
        'What was mounted can be rescued. Never run `fsck` on the only copy.',
        'The kernel says why in `dmesg`. If its module is missing, attach the disk in a machine that has it. If the disk is damaged, copy it '
        'and repair the copy.',
        'dmesg | tail -n 20\nddrescue -d /dev/sdX disk.img disk.map'),
    'PARTITIONS_DAMAGED': (
        'What was found can be rescued. Do not write a new partition table.',
        'If the image was cut off while it was copied, copy it again.', 'ddrescue -d /dev/sdX disk.img disk.map\nlifeboat --disk disk.img look'),
    'VOLUME_LOCKED': (
        'Everything else on the disk can be rescued.', 'Attach the disk again with its passphrase or key file.',
        'read -rs LIFEBOAT_PASSPHRASE && export LIFEBOAT_PASSPHRASE\nlifeboat --disk FILE rescue DEST\nlifeboat --disk FILE --key-file KEY rescue DEST'),
    'LAYER_NOT_ATTACHED': (
        'Everything else on the disk can be rescued.',
        'The message says what failed. Install a tool that is missing, or give all disks that belong together.',
        'apt-get install lvm2 mdadm cryptsetup-bin\nlifeboat --disk FILE1 --disk FILE2 look'),
    'DISK_MEMBER_MISSING': (
        'A rescue is safe, but the missing disk may have the newest data.', 'Give the other disks of the host too, if you have them.',
        'lifeboat --disk FILE1 --disk FILE2 rescue DEST'),
    # a repair in place
    'ROOT_IN_USE': (
        NOTHING_WRITTEN, 'Stop dockerd, containerd and their containers. Unmount what is still mounted below the data root. Run again.',
        'systemctl stop docker.socket docker containerd\nfindmnt -R /var/lib/docker\nlifeboat repair'),
    'ROOT_LAYOUT_UNKNOWN': (
        NOTHING_WRITTEN + ' A rescue is safe.', 'Rescue what it holds, and restore it on a new host.', RESCUE),
    'ROOT_COPY_INCOMPLETE': (
        NOTHING_WRITTEN + ' Do not use this copy: deleted files are back in it.', 'Copy the data root again, as root.',
        'rsync -aHAXS --numeric-ids /mnt/dead/var/lib/docker/ /srv/docker/'),
    # a dump of a database
    'DUMP_BUNDLE_REFUSED': (
        'The bundle was not changed. Other bundles were dumped.', 'Look what is wrong with it. Rescue again, or copy it again.', 'lifeboat verify BUNDLE'),
    'DUMP_CONTAINER_RUNS': (
        'A rescue is safe. Two servers on one data folder would damage it, so none is started beside the one that runs.',
        'Use the dump program in the container, or stop the container and run again.', 'docker exec NAME pg_dumpall -U postgres > all.sql'),
    'DUMP_FOREIGN_ARCH': (
        DUMP_SAFE, 'Rescue the container and restore it on a host with the right processor.', RESCUE_NAME),
    'DUMP_LAYERS_LOST': (
        DUMP_SAFE, 'Rescue the volumes and start them with an image of the same version.', RESCUE_NAME),
    'DUMP_NO_BINARY': (
        DUMP_SAFE, 'Rescue the data and start them with an image of the same version.', RESCUE_NAME),
    'DUMP_NO_SPACE': (
        DUMP_SAFE, 'Choose a folder with room for changes, on another disk than the data.', 'lifeboat dump DEST NAME --scratch-dir DIR'),
    'DUMP_PARTIAL': (
        'The dump can be used. The raw data have the rest: keep them.', 'Read `missing` in the result, and the log beside the dump. Rescue the raw data too.',
        RESCUE_NAME),
    'DUMP_SERVER_FAILED': (
        DUMP_SAFE, 'Read the log beside the dumps. Rescue the raw data and follow [databases.md](databases.md) on a copy.', RESCUE_NAME),
    'DUMP_TIMEOUT': (
        DUMP_SAFE, 'Give it more time. Recovery of a large database takes a while.', 'lifeboat dump DEST NAME --timeout 6h'),
    'DUMP_UNSAFE_HERE': (
        DUMP_SAFE, 'Run it as root, on a machine (not in a container) where new namespaces and overlay mounts are allowed.', 'sudo lifeboat dump DEST NAME'),
    'DUMP_UNSUPPORTED': (
        DUMP_SAFE, 'Rescue the data and restore them. Then its own dump program can be used: databases.md has its name.', RESCUE_NAME),
    'DUMP_VERSION_MISMATCH': (
        DUMP_SAFE, 'The tag of the image was moved to another version. Rescue the data and start them with an image of their version.', RESCUE_NAME),
    # stores and databases of engines without a daemon
    'RECORDS_DAMAGED': (
        'A rescue is safe: containers are found by their folders. A start of crio, and podman system prune --external, delete what is not recorded.',
        'Rescue everything first.', RESCUE),
    'VOLATILE_RECORD_LOST': (
        'A rescue is safe. A start of crio deletes these layers in its first second.', 'Rescue everything, orphans too, before crio is started.',
        'lifeboat rescue --orphans DEST'),
    'STORE_WIPED_AT_NEXT_START': (
        'A rescue is safe. A start of crio-wipe.service deletes the whole store.',
        'Rescue everything before `crio-wipe.service` or `crio.service` is started on this disk, or disable both first.', RESCUE),
    'LAYER_INCOMPLETE': (
        'A rescue is safe. Every podman, buildah or crio command on this store deletes the layer, `podman ps` too.',
        'Rescue it before any of them is run.', RESCUE_NAME),
    'LAYER_STAGED': (
        'A rescue is safe. Every podman, buildah or crio command on this store deletes the layer, `podman ps` too.',
        'Rescue it as an orphan before any of them is run.', 'lifeboat rescue --orphans DEST'),
    'STATE_DB_DAMAGED': (
        'Nothing is missing of the data: containers, layers, images and volumes are found without the database.',
        'Check ports, limits and the restart policy by hand after the restore.', RESCUE),
    'STATE_DB_MISSING': (
        'Nothing is missing of the data: containers, layers, images and volumes are found without the database.',
        'Check ports, limits and the restart policy by hand after the restore. `podman ps --all --external` lists such containers.', RESCUE),
    'STATE_DB_HOT': (ALL_SAFE, 'Nothing needs to be done.', LOOK),
    'STATE_RECORD_LOST': (
        'The data of the container are safe.', 'Check ports, limits and the restart policy by hand after the restore.', RESCUE_NAME),
    'NO_STATE_RECORD': (ALL_SAFE, 'Nothing, if it is a working container of a build.', LOOK_NAME),
    'IN_POD': (
        ALL_SAFE, 'Make the pod again (`podman pod create`), or publish its ports of the container that serves them.',
        'podman pod create --name POD --publish 8080:80'),
    'MOUNT_WRITES_LEFT': (
        'The folder that the message names is safe as long as the container is not started or stopped.', 'Copy that folder by hand.',
        'cp -a DIR /srv/written'),
    'CLUSTER_DB_UNREAD': (
        ALL_SAFE, 'Nothing for the rescue. For the cluster itself: restore a snapshot of etcd, or a copy of the folder of the database.', LOOK),
    'CLUSTER_DB_DAMAGED': (
        ALL_SAFE, 'Nothing for the rescue. For the cluster itself: restore a snapshot of etcd, or a copy of the folder of the database.', LOOK),
    'EMPTYDIR_OF_POD': (
        'A rescue is safe. A kubelet that reaches its API server and hears that the pod is gone, or was moved to another node, deletes it.',
        'Rescue it before kubelet is started with a network.', RESCUE_NAME),
    'VOLUME_EMPTY_HERE': (
        ALL_SAFE, 'Look for `medium: Memory` in the specification of the pod. If it is there, its data are gone with the power.', LOOK_NAME),
    'SUBPATH_UNKNOWN': (
        'The data are safe: the whole volume is rescued.', 'Look for `subPath` in the specification of the pod, and restore that part of the volume.',
        LOOK_NAME),
    'VOLUME_LAYER_ONLY': (
        'What was written to the volume is safe.', 'Take its other files from the image that it was made from.', LOOK),
    # a container's records
    'CONFIG_DAMAGED': (
        NO_START + ' Do not prune: the image and the anonymous volumes of this container count as unused.',
        'Rescue it: layer, volumes and logs come out. Other records replace the damaged one; compare `config/` in the bundle with what you '
        'know. `lifeboat repair` can make the record again.',
        RESCUE + '\nlifeboat repair'),
    'HOSTCONFIG_DAMAGED': (
        'A rescue is safe. Data are not affected.',
        'After the restore set ports, limits, restart policy and log options by hand. `lifeboat repair` makes what other records still tell.',
        RESCUE_NAME + '\nlifeboat repair'),
    'CONFIG_MISMATCH': (
        'A rescue is safe. Do not edit the ID in the file.', 'Two records were mixed up. Compare name and image with what you know.',
        LOOK_NAME + '\nlifeboat inspect NAME'),
    'CONFIG_FROM_TEMP': (
        ALL_SAFE, 'Nothing. `lifeboat repair` puts the complete record in its place.', 'lifeboat repair'),
    'NAME_UNKNOWN': (
        'A rescue is safe. The bundle is called after the ID.',
        'Recognise the container by its image, labels, logs and files; the message lists hints. Give the name when you restore it.',
        'lifeboat logs ID | tail\nansible-playbook lifeboat.docker.restore -i healthy, -e restore_path=BUNDLE -e restore_name=NAME'),
    'OWNERS_ASSUMED': (
        'A rescue is safe: the manifest has the map that was used (`source.idmap`), so nothing is lost.',
        'Put `/etc/subuid` and `/etc/subgid` of the dead host below the host root and rescue again with `force: true`. Where they are lost, compare owners '
        'with what the image expects, and change them after the restore.',
        LOOK_NAME + '\nlifeboat ls -l NAME:/'),
    'NAME_CONFLICT': (
        'A rescue is safe: both come out, into folders with different IDs.', 'Tell them apart by date and content.',
        'lifeboat look -v\nlifeboat diff ID'),
    'REMOVED_AT_NEXT_START': (
        'A rescue is safe. A start of dockerd deletes this container; its anonymous volumes stay until the next prune. On Podman the first command '
        'after a reboot deletes both, and a start of crio each of its containers. kubelet deletes older attempts of a container, and static pods without '
        'a manifest; containerd deletes the folders of containers that its database does not have.',
        'Rescue and verify it before the engine is started on this disk. `lifeboat repair --guard` clears the mark, so that a start keeps it.',
        RESCUE_NAME + '\n' + VERIFY + '\nlifeboat repair --guard'),
    'REPLACED_AT_NEXT_START': (
        'A rescue is safe. A start of kubelet makes a new container with an empty writable layer; the old layer stays until that one is replaced too.',
        'Rescue it before kubelet is started. What belongs on a volume should be on one.', RESCUE_NAME + '\n' + VERIFY),
    'REMOVAL_INTERRUPTED': (
        'A rescue is safe. `docker rm` and every prune delete what is left.',
        'Rescue it before anybody runs `docker rm` or a prune. Then look at what is missing.', RESCUE_NAME + '\nlifeboat diff NAME'),
    # layers
    'WRITABLE_LAYER_LOST': (
        'A rescue is safe: volumes, logs and definition come out. Do not make an empty folder in its place.',
        'Look for the layer in backups. If there is none, only a file system recovery tool is left, on a copy of the disk.',
        RESCUE_NAME + '\nddrescue -d /dev/sdX disk.img disk.map'),
    'WRITABLE_LAYER_LIKELY': (
        'A rescue is safe. Do not use the result before you have compared it.', 'Compare the content of the layer with what you expect.',
        'lifeboat diff NAME\nlifeboat ls -R layer:NAME'),
    'WRITABLE_LAYER_UNKNOWN': (
        'A rescue is safe. Do not guess the layer.', 'Rescue all layers that no container owns, and look for the data in them.',
        'lifeboat look\nlifeboat rescue DEST --orphans'),
    'LAYER_LINKS_DAMAGED': (
        'The data are complete, and a rescue is safe. dockerd fails on this root.',
        'Rescue. `lifeboat repair` makes the links again.', RESCUE + '\nlifeboat repair --apply'),
    'LAYER_ORDER_FALLBACK': (
        'A rescue is safe.', 'Look whether the files of the container are as you expect. `lifeboat repair` makes the record again.',
        'lifeboat ls -l NAME:/\nlifeboat repair'),
    'LAYER_ORDER_CONFLICT': (
        'The writable layer is not affected. Files of the image may be wrong.', 'Compare the files of the container with what you expect.',
        'lifeboat ls -l NAME:/\nlifeboat cp layer:NAME:/. DIR'),
    'IMAGE_LAYER_LOST': (
        'The writable layer and the volumes are complete. Do not make an empty folder in its place.',
        'Pull the image by its digest on a healthy host. Restore the bundle there with that image.',
        PULL + '\nansible-playbook lifeboat.docker.restore -i healthy, -e restore_path=BUNDLE -e restore_image=IMAGE'),
    'IMAGE_LAYER_UNKNOWN': (
        'The writable layer and the volumes are complete.', 'Pull the image by its digest on a healthy host.', PULL),
    'IMAGE_OTHER_PLATFORM': (
        'Containers are not affected: each is rescued with the platform that it ran on.',
        'Pull the image for the other platforms on a healthy host. If it was built here and pushed nowhere, keep the disk.',
        'docker pull --platform linux/arm64 IMAGE'),
    'IMAGE_CONFIG_LOST': (
        'Layers and volumes are not affected.',
        'Pull the image by its digest. The command and the environment are in the record of the container too.', PULL + '\nlifeboat inspect NAME'),
    'IMAGE_LAYER_DAMAGED': (
        'The writable layer and the volumes are not affected. Do not use the named files.',
        'Pull the image by its digest. The message names the files that differ.', PULL),
    'IMAGE_LAYER_REBUILT': (
        'The image can be used: its files are there.', 'If you need the original digest, pull the image.', PULL),
    'IMAGE_LAYER_UNVERIFIED': (
        'Nothing is known to be wrong.', 'If it matters, pull the image and compare.', PULL + '\nlifeboat ls -R image:IMAGE'),
    'IMAGE_ATTRIBUTES': (
        'The image can be used. `writable` and `rootfs` in the bundle have every attribute.',
        'If a program needs these attributes, restore the files from `rootfs`.', 'lifeboat rescue DEST NAME --include config,writable,rootfs'),
    'IMAGE_ATTRIBUTES_BY_STORE': (
        'The image can be used.', 'Nothing, if no program of the container uses such attributes. Else restore the files from `rootfs`.',
        'lifeboat rescue DEST NAME --include config,writable,rootfs'),
    'IMAGE_TOO_DEEP': (
        'Everything is in the bundle.', 'Restore it where Docker has the containerd store, or on Podman. Else rescue `rootfs` too and import it.',
        'lifeboat rescue DEST NAME --include config,rootfs\ndocker import rootfs.tar NAME:rescued'),
    'IMAGE_SPARSE': (
        'The image can be used. It needs its full size on the disk.',
        'Load it where there is room, or restore from `writable` or `rootfs`, which keep the holes.', 'lifeboat du NAME:/'),
    'LAYER_METADATA_DAMAGED': (
        'A rescue is safe.', 'Containers that need such a layer have a problem of their own. `lifeboat repair` makes the record again.',
        LOOK + '\nlifeboat repair'),
    'LAYER_REMOVING': (
        NO_START + ' It goes on with the removal.', 'Rescue. `lifeboat repair` gives the record its name back.',
        RESCUE + '\nlifeboat repair'),
    'BUILD_CACHE': (
        ALL_SAFE + ' No container has written there.', 'Nothing. On a running engine a prune of the cache removes these layers.',
        'docker builder prune'),
    'STORE_UNREACHABLE': (
        'What is on the disk can be rescued. Do not start dockerd on it.',
        'Fetch the root of containerd from the same host (usually `/var/lib/containerd`), and name it.',
        'lifeboat --data-root DIR --containerd-root DIR rescue DEST'),
    'DRIVER_UNSUPPORTED': (
        'A rescue is safe: definition, logs and volumes come out.',
        'The next step of the problem has the commands for this very layer. They mount it read-only. Layers of devicemapper are mounted by '
        '`attach_layers` of `disk_attach`.', LOOK_NAME + '\nlifeboat --disk FILE --attach-layers rescue DEST'),
    'METADATA_DB_DAMAGED': (
        'A rescue is safe. Labels and drivers of volumes may be missing. Never delete a database of containerd.',
        'Rescue. Layers without an owner are listed as orphans. `lifeboat repair` reads what is left in the file.',
        'lifeboat rescue DEST --orphans\nlifeboat repair'),
    'NETWORK_DB_DAMAGED': (
        'A rescue is safe: no data are in that file. dockerd may not start with it, or starts without these networks.',
        'Rescue. Before you start the restored containers, compare their networks with your notes: `lifeboat inspect` shows what each recorded, and '
        '`lifeboat repair` what is left in the file.',
        'lifeboat inspect CONTAINER\nlifeboat repair\ndocker network create --subnet 172.30.5.0/24 NAME'),
    'METADATA_DB_MISSING': (
        'A rescue is safe. Do not start containerd: its next garbage collection deletes every layer.',
        'Rescue with all orphan layers: they are found without the database. Then put the database back from a backup of the same day, or restore '
        'the bundles into a new data root.',
        'systemctl disable --now docker.socket docker containerd\nlifeboat rescue DEST --orphans'),
    'REFERENCES_DAMAGED': (
        'A rescue is safe. Do not try a start: it changes the records of containers before it fails.',
        'Rescue. `lifeboat repair` makes a file with which dockerd starts.', RESCUE + '\nlifeboat repair'),
    # mounts, volumes, logs
    'MOUNT_MISSING': (
        'A rescue is safe, and has nothing of this volume or bind. Do not start the container: it would write into the empty folder.',
        'Look which disk it is (the message names it), and add it: `disk_attach` with several disks mounts them as fstab says. A network file system '
        'is mounted by hand. Then rescue again.',
        'lsblk -f\ncat /mnt/dead/etc/fstab\nlifeboat --disk /dev/sdX --disk /dev/sdY rescue DEST'),
    'MOUNT_POINT_FILLED': (
        RESCUE_SAFE,
        'If the host root is a copy of all its file systems in one folder (a backup, an rsync), nothing is missing. Otherwise add the disk that the '
        'message names, and rescue again.',
        'findmnt -R /mnt/dead\nlifeboat --disk /dev/sdX --disk /dev/sdY rescue DEST'),
    'VOLUME_LOST': (
        'A rescue of everything else is safe. Do not make an empty folder in its place.',
        'Look for the data on other disks, and in backups. A volume can be a folder of the host, or a file system of its own.',
        'grep docker /mnt/dead/etc/fstab\nlifeboat look -v'),
    'VOLUME_OPTIONS_DAMAGED': (
        'The data are not affected, and a rescue is safe. Do not try a start: it changes the records of containers before it fails.',
        'Rescue. When you restore the volume, set its options by hand if it had any. `lifeboat repair` takes them from `metadata.db`.',
        "lifeboat rescue DEST --volumes NAME\nlifeboat repair"),
    'VOLUME_NOT_ON_DISK': (
        'Everything else can be rescued.', 'Mount the server or device that the message names, read-only, and archive it from there.',
        'mount -o ro SERVER:/EXPORT /mnt/volume\ntar -C /mnt/volume --numeric-owner --xattrs --acls --sparse -cf DEST/volume.tar .'),
    'VOLUME_IS_LINK': (
        'The link was not followed. Do not follow it without a look: a container may have made it.', 'Archive the target by hand if you trust it.',
        'readlink /mnt/dead/var/lib/docker/volumes/NAME/_data'),
    'BIND_MISSING': (
        'Everything else can be rescued.', 'Mount the disk that has this folder below the host root, and run again.',
        'lsblk -f\n' + RESCUE_NAME),
    'BIND_THROUGH_LINK': (
        'The link was not followed. Do not follow it without a look: a container may have made it.',
        'Look where the link leads. Archive the target by hand if you trust it.', 'namei -l /mnt/dead/PATH'),
    'BIND_TOO_WIDE': (
        'Everything else can be rescued.', 'Archive the part that you need by hand.',
        'tar -C /mnt/dead/PATH --numeric-owner --xattrs --acls --sparse -cf DEST/part.tar .'),
    'TMPFS_LOST': (
        'Everything else can be rescued.', 'Nothing can be done: the data were in memory.', LOOK_NAME),
    'LOG_NOT_ON_DISK': (
        'Everything else can be rescued.', 'Look where the message says: a log server, or the file system that has the journal of the host.',
        'findmnt -T /mnt/dead/var/log/journal\nlifeboat logs NAME'),
    'LOG_DAMAGED': (
        'Everything that can be parsed is in `container.log`. The files as found are beside it; of a journal, what could be read of the container.',
        'Read the raw file where a part is missing. If zstd is missing, install it and run again.', 'lifeboat logs NAME'),
    'LOG_NOT_WHOLE': (
        'Everything that the journal has of the container is rescued.',
        'journald deletes its oldest files and drops what comes too fast. Look for older journals in backups, and at where the journal was sent.',
        'journalctl -D /mnt/dead/var/log/journal --list-boots\nlifeboat logs NAME'),
    'LOG_OTHER_WRITERS': (
        'All entries are rescued, as the engine would print them.', 'Any user of the host can write to the journal. Look at who wrote (`_UID`, `_COMM`).',
        'grep -aE "^(_UID|_COMM|MESSAGE)=" DEST/HOST/NAME/logs/journal.export'),
    # the rescue itself
    'NOT_WRITTEN': (
        'Run it again: whole bundles stay, and what is there is used.', 'Remove the cause that the message names, and run again.',
        'df -h DEST\n' + RESCUE),
    'DEST_ON_SOURCE': (
        'What is there can be read. Each write to this disk can overwrite deleted files.',
        'Choose a DEST on another disk, or send the bundles to another machine.',
        'ansible-playbook lifeboat.docker.rescue -i deadhost, -e rescue_store_on=controller -e rescue_dest=rescued'),
    'DEST_NOT_MOUNTED': (
        'The rescue works, but it fills the disk below the mount point.', 'Mount the disk that you mean and run again, or choose another DEST.',
        'findmnt -T DEST'),
    'DEST_IN_MEMORY': (
        'The bundles are whole until the machine is switched off.', 'Choose a DEST on a disk, or copy the bundles to one now.',
        'findmnt -T DEST\ncp -a DEST /mnt/usb/'),
    'OLD_BUNDLE_KEPT': (
        'Both bundles are kept.', 'Compare the two, and keep the one that has more.', VERIFY),
    'SECRETS_LEFT_OUT': (
        'Everything else is in the bundles. Containers that need the secrets do not start without them.',
        'Ask for secrets, and keep the bundles safe: the values are in files of their own. Secrets of no container are copied by hand.',
        'lifeboat rescue DEST NAME --include config,secrets'),
    'SECRET_LOST': (
        'Everything else of the container is rescued.', 'Make the secret anew from where it came from (`podman secret create NAME FILE`).', LOOK_NAME),
    'NOT_INCLUDED': (
        'The data are still on the host. Do not delete it before you have decided.',
        'If you want them too, add `binds` and `volumes` to `include` (`rescue_include` of the role).',
        'lifeboat rescue DEST NAME --include config,writable,image,volumes,binds,logs'),
    'IMAGE_LEFT_OUT': (
        'Everything else is in the bundle.', 'Use a DEST with more room, or pull the image on a healthy host.', 'df -h DEST\n' + PULL),
    'BIND_LEFT_OUT': (
        'Everything else is in the bundle. The folder is still on the host.',
        'Rescue to a DEST with more room: what is there already is used. Without `binds` in `include` all binds are left out.',
        'df -h DEST\n' + RESCUE_NAME),
    # a restore
    'ENGINE_LACKS': (
        'The data are restored. The container is made without what the message names.',
        'Decide whether it needs that. If so, make the container by hand from the files in `config/` of the bundle (`podman.sh`, `run.sh`, `compose.yaml`).',
        'podman inspect NAME\ncat BUNDLE/config/podman.sh'),
    'NOT_AS_ASKED': (
        'The data are restored, and the container is made.',
        'Compare what the message names before you start it. What matters (networks, limits, namespaces) can be given with `config/run.sh` of the bundle.',
        'podman inspect NAME'),
    'SECRET_NOT_COMPARED': (
        'The secret on the engine is as it was before.',
        'If it may have another value, look into a container that has it. To have the value of the bundle, remove the secret and restore again.',
        'podman secret rm NAME'),
    'NOT_SHOWN': (
        'The data are restored, and the container is made. The setting may well count: Podman just does not show it.',
        'If it matters, start the container and look inside.', 'podman exec NAME cat /proc/sys/...'),
    'DEPLOYMENT_INCOMPLETE': (
        'Everything else of the original files is in the bundle `deployment`. Nothing of the data of containers depends on it.',
        'Read `left_out` in `deployment.json`: each path with the reason. Copy by hand what you need.',
        'python3 -m json.tool DEST/HOST/deployment/deployment.json'),
    'DEPLOYMENT_CREDENTIALS': (
        'They are still on the host. Nothing of the data of containers depends on them.',
        'Take them only to a place that you trust: add `deployment_credentials: true` (`rescue_deployment_credentials` of the role).',
        'lifeboat rescue DEST --deployment-credentials'),
    'DEPLOYMENT_DIFFERS': (
        'The bundles have what ran, the bundle `deployment` has the original files. Both are whole.',
        'Read the differences before you start the original files. To start what ran, restore the bundles.',
        'python3 -m json.tool DEST/HOST/deployment/deployment.json'),
    # reading
    'READ_ERROR': (
        'Everything else was read. Do not run `fsck` on the only copy.', 'Copy the disk once, and rescue from the copy.', COPY),
    'DELETED_STILL_OPEN': (
        'Looking is safe. The files are gone when the container stops or restarts; PostgreSQL ends by itself within a minute.',
        'Rescue the container at once, before anything else: [undelete.md](undelete.md).',
        'lifeboat rescue DEST NAME --open-files'),
    'CONTAINER_WITHOUT_RECORD': (
        'What its processes have open is in the bundle. Everything else of it is gone from this disk.',
        'Verify the bundle before the container is stopped. Then look for snapshots and copies of the disk: [undelete.md](undelete.md).',
        'lifeboat verify DEST'),
    'OPEN_FILE_UNNAMED': (
        'The data are in the archive, below `lifeboat-unnamed/`.', 'Tell the files by their content. The manifest has what the kernel calls them.',
        "tar -tf open-files.tar.zst 'lifeboat-unnamed'"),
    'OPEN_FILES_MOVING': (
        'Each file is whole as far as it can be; several files may not fit together.',
        'Rescue again while the container runs. Pause it first, if its engine still answers.',
        'docker pause NAME\nlifeboat rescue DEST NAME --open-files'),
    'REACHED_THROUGH_PROCESS': (
        'The data in the bundle are whole.', 'Verify the bundle before the container is stopped.', 'lifeboat verify DEST'),
    'NOTHING_OPEN': (
        'Nothing is lost by looking.', 'What is not open is gone from the file system, or in a snapshot: [undelete.md](undelete.md).',
        'lifeboat look'),
    'FILE_CHANGED': (
        'The rescue is complete, but this file may mix old and new data.', 'Stop the container, or freeze it while it is read, and run again.',
        'lifeboat rescue DEST NAME --quiesce freeze'),
    'CRASH_CONSISTENT': (
        'The bundle is as good as after a power cut: databases recover from that.',
        'For more, stop the container or freeze it while it is read, and run again.', 'lifeboat rescue DEST NAME --quiesce freeze'),
    'SOCKET_SKIPPED': (ALL_SAFE, 'Nothing. Programs make their sockets again when they start.', LOOK_NAME),
    'WHITEOUT_NAME': (
        'The bytes are in the archives `writable` and `rootfs`. An image cannot hold these files, so it is `partial`.',
        'Take these files from `rootfs`.', 'lifeboat rescue DEST NAME --include config,writable,rootfs'),
}

AUDIT_NOW = 'The data are there now. Do not recreate the container before they are in a volume.'
AUDIT = 'ansible-playbook lifeboat.docker.audit -i hosts'

# code: (meaning, what is safe, what to do, commands)
AUDIT_TEXTS: typing.Dict[str, typing.Tuple[str, str, str, str]] = {
    'RULE_FAILED': (
        'A rule failed on the facts of this host. What the rule looks for is not known.',
        'All other rules were applied.', 'Correct the rule, or switch it off (`enabled: false`), and run again.', AUDIT),
    'DB_IN_WRITABLE_LAYER': (
        'A database keeps its files in a writable layer. They are deleted when the container is recreated.',
        AUDIT_NOW, 'Dump the database, or copy its folder into a volume while the container is stopped. Then mount the volume there.',
        RESCUE_NAME),
    'STATE_IN_WRITABLE_LAYER': (
        'Other data, such as uploads or a repository, are in a writable layer.', AUDIT_NOW, 'Copy them into a volume, and mount it there.',
        'lifeboat cp NAME:/PATH DIR'),
    'UNMOUNTED_VOLUME_PATH': (
        'The image declares a volume, but nothing is mounted there.', AUDIT_NOW, 'Give the container a named volume at this path.',
        'docker volume create VOLUME'),
    'ANON_VOLUME': (
        'Data are in a volume without a name. `docker compose down -v` or a prune can delete it.',
        'The data are there now. Do not prune.', 'Copy them into a named volume.', RESCUE_NAME),
    'EMPTY_VOLUME': (
        'A named volume is empty, and the data are somewhere else.', 'The data are there now. Do not recreate the container.',
        'Correct the path at which the volume is mounted, and copy the data into it.', LOOK_NAME),
    'ORPHAN_VOLUME': (
        'A volume with data that no container uses.', 'The data are there now. A prune can delete them.',
        'Rescue it, or delete it if nobody needs it.', "lifeboat rescue DEST --volumes VOLUME"),
    'ORPHAN_LAYER': (
        'A writable layer that no container owns.', 'The data are there now. dockerd neither uses nor deletes it.',
        'Rescue it, and look whether somebody needs the data.', 'lifeboat rescue DEST --orphans'),
    'LOG_UNBOUNDED': (
        'A log without a maximum size. It can fill the disk.', 'Nothing is damaged.',
        'Set `max-size` for the container, or for all in `daemon.json`, and recreate the container.', 'docker run --log-opt max-size=10m IMAGE'),
    'LARGE_WRITABLE_LAYER': (
        'A large writable layer.', AUDIT_NOW, 'Look what is in it. Data belong into a volume, temporary files into a tmpfs.',
        'lifeboat du -d 2 NAME:/'),
    'EMPTYDIR_DATABASE': (
        'A database is in the emptyDir of a pod. It is deleted with the pod.',
        'The data are there as long as the pod is on its node.', 'Put the data on a PersistentVolumeClaim.', RESCUE_NAME),
    'AUTOREMOVE': (
        'The container was started with `--rm`. It and its anonymous volumes are deleted when it ends.',
        'The data are there while it runs. A start of dockerd after a crash deletes it.',
        'Keep its data in a named volume, or start it without `--rm`.', RESCUE_NAME),
    'DEAD_CONTAINER': (
        'A removal was interrupted.', 'Do not run `docker rm` or a prune: they delete what is left.', 'Rescue it first.', RESCUE_NAME),
    'DAMAGED_METADATA': (
        'Records of Docker are damaged.', 'A rescue is safe. Do not restart dockerd: it may not start.',
        'Rescue. The problem that the finding names says what is damaged.', RESCUE_NAME + '\nlifeboat repair'),
    'UNCLEAN_DATABASE': (
        'The database of a stopped container was not shut down cleanly. Only the same major version can recover it.',
        'The data are there. Do not start a newer version on them.', 'Start it once with the same image, and stop it.', 'docker start NAME\ndocker stop NAME'),
    'NO_DATA_CHANGE': (
        'The database in a volume has not changed for a long time. Its container may write somewhere else.',
        'Nothing is damaged.', 'Compare the path of the volume with the data folder of the database.', LOOK_NAME),
    'SCAN_INCOMPLETE': (
        'Counting ended early. The real numbers are higher.', 'Everything that was counted is true.',
        'Raise `audit_scan_timeout` and `audit_scan_max_files`, or read the named error.', AUDIT + ' -e audit_scan_timeout=3600'),
    'HOST_PROBLEM': (
        'The host itself has one of the problems above.', 'See the code that the finding names.', 'Do what is said at that code.', LOOK),
}
