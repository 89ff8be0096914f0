"""The virtual machine with an enforcing SELinux policy: Debian's reference policy, and the types for containers, which Debian's packages lack.

The root file system is that of guest.py with three packages more, and labelled. Debian's cloud kernel has SELinux: `WORDS` turn it on.
"""
import guest

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
LABEL = '''sed -i 's/^SELINUX=.*/SELINUX=enforcing/' etc/selinux/config
cat >root/container.cil
chroot . semodule -i /root/container.cil
chroot . setfiles -m -F -e /proc -e /dev /etc/selinux/default/contexts/files/file_contexts /
'''


def ensure():
    """The image's name for guest.Guest, made first if need be (two minutes). Raises NotHere where it cannot be made."""
    return guest.variant(IMAGE, PACKAGES, LABEL, TYPES.encode())
