"""The virtual machine with an enforcing SELinux policy: Debian's reference policy, and the types for containers, which Debian's packages lack.

The root file system is that of guest.py with three packages more, and labelled. Debian's cloud kernel has SELinux: `WORDS` turn it on.
"""
import os
import subprocess
import tempfile

import guest
from rig import newer
from rig.common import NotHere, cache_lock, last_words, say

IMAGE = 'root-selinux.img'              # beside root.img
WORDS = 'security=selinux selinux=1 enforcing=1'
PACKAGES = ('selinux-policy-default', 'policycoreutils', 'selinux-utils')
# What container-selinux of Red Hat says of them, as far as a container of busybox needs it. The policy of the package knows only the name
# container_t (lxc_contexts), which dockerd takes its labels from.
TYPES = '''
(type container_t)
(type container_file_t)
(type container_ro_file_t)
(roletype system_r container_t)
(typeattributeset domain (container_t))
(typeattributeset mcs_constrained_type (container_t))
(typeattributeset file_type (container_file_t container_ro_file_t))
(allow container_t container_file_t (file (ioctl read write create getattr setattr lock append unlink link rename execute execute_no_trans map
  open entrypoint)))
(allow container_t container_file_t (dir (ioctl read write create getattr setattr lock rename add_name remove_name reparent search rmdir open)))
(allow container_t container_file_t (lnk_file (read create getattr setattr unlink link rename)))
(allow container_t container_file_t (chr_file (read write open getattr ioctl append)))
(allow container_t container_ro_file_t (file (ioctl read getattr execute execute_no_trans map open entrypoint)))
(allow container_t container_ro_file_t (dir (ioctl read getattr search open)))
(allow container_t self (process (fork sigchld signal sigkill getsched setsched getpgid setpgid getattr)))
(allow container_t self (fifo_file (read write getattr append ioctl)))
(allow kernel_t container_t (process (transition noatsecure siginh rlimitinh)))
(allow container_t kernel_t (fd (use)))
(allow container_t kernel_t (process (sigchld)))
(allow container_t kernel_t (fifo_file (read write getattr append ioctl)))
(allow container_t tmpfs_t (filesystem (getattr)))
(allow container_file_t tmpfs_t (filesystem (associate)))
'''
# IMAGE FOLDER: in a mount namespace of its own
INSTALL = '''set -e
mount -o loop "$1" "$2"
cd "$2"
mount --bind /proc proc
cp /etc/resolv.conf etc/resolv.conf
mkdir -p var/lib/apt/lists/partial var/cache/apt/archives/partial
chroot . apt-get -q update
chroot . apt-get -q -y --no-install-recommends install {packages}
sed -i 's/^SELINUX=.*/SELINUX=enforcing/' etc/selinux/config
cat >root/container.cil
chroot . semodule -i /root/container.cil
rm -rf var/lib/apt/lists/* var/cache/apt/archives/*.deb
chroot . setfiles -m -F -e /proc -e /dev /etc/selinux/default/contexts/files/file_contexts /
cd /
umount "$2/proc" "$2"
'''


def need():
    """The image's name for guest.Guest, made first if need be (two minutes). Raises NotHere where it cannot be made."""
    guest.need()
    path = os.path.join(guest.folder(), IMAGE)
    with cache_lock('guest-selinux'):
        if not os.path.exists(path):
            with tempfile.TemporaryDirectory(prefix='lb-selinux-') as place:
                _make(path, place)
    return IMAGE


def _make(path, place):
    say('making the root file system with an enforcing policy')
    part = path + '.part'
    subprocess.run(['cp', '--sparse=always', os.path.join(guest.folder(), 'root.img'), part], check=True)
    script = INSTALL.format(packages=' '.join(PACKAGES))
    done = subprocess.run(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', part, place],
                          env=newer.debootstrap_environment(), input=TYPES.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900, check=False)
    if done.returncode:
        os.unlink(part)
        raise NotHere('a guest with SELinux cannot be made: %s' % last_words(done.stdout))
    os.rename(part, path)
