"""A journald of a host's own, in the namespaces in which its engine runs."""
import os
import shutil

from .common import not_installed

PROGRAM = '/lib/systemd/systemd-journald'
MACHINE = '0123456789abcdef0123456789abcdef'
CONFIG = '[Journal]\nStorage=persistent\nAudit=no\nReadKMsg=no\nRateLimitBurst=0\nSystemMaxFileSize=%s\n'

# For a shell, as root: $HOST is the dead host's folder, $NEW its root as it is now ('' for /), where /run is the host's already.
# It waits until the socket is there. JOURNALD: what is put before the program, as variables of systemd.
START = r'''
start_journald() {
    mkdir -p "$HOST/var/log/journal" "$NEW/run/systemd/journal"
    : >"$NEW/run/systemd/journal/flushed"
    mount --bind "$HOST/var/log" "$NEW/var/log"
    mount --bind "$HOST/journald.conf" "$NEW/etc/systemd/journald.conf"
    mount --bind "$HOST/machine-id" "$NEW/etc/machine-id"
    chroot "$NEW/" env $JOURNALD /lib/systemd/systemd-journald </dev/null >/dev/null 2>&1 &
    n=0
    until [ -S "$NEW/run/systemd/journal/socket" ]; do n=$((n+1)); [ $n -lt 300 ] || { echo "journald did not start" >&2; exit 1; }; sleep 0.1; done
}
'''


def lay_out(host_root, size='8M'):
    """The files that START wants. NotHere if this machine has no journald."""
    if not shutil.which(PROGRAM):
        raise not_installed('systemd')
    for name, text in (('journald.conf', CONFIG % size), ('machine-id', MACHINE + '\n')):
        with open(os.path.join(host_root, name), 'w', encoding='ascii') as handle:
            handle.write(text)
