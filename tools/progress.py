"""Waits for a long command and says from time to time how far it is: nobody should have to guess whether it hangs."""
import os
import re
import threading
import time

EVERY = 30                              # seconds between two lines
RESULTS = re.compile(r'^([.FEsxX]+)(?: +\[ *(\d+)%\])?$', re.M)      # pytest -q: one character a test
# ansible-test and Ansible: the test or task at which they are
STEPS = re.compile(r'^(Running .*|(?:TASK|PLAY) \[.*)$', re.M)


class Used(object):
    """Processor time of the commands that each thread has run. Two lanes do not see each other's."""

    def __init__(self):
        self._own = threading.local()

    def here(self):
        """Seconds, user and system, of this thread's ended commands and their children."""
        return getattr(self._own, 'seconds', 0.0)

    def add(self, usage):
        self._own.seconds = self.here() + usage.ru_utime + usage.ru_stime


def text(path):
    """All of a log."""
    with open(path, encoding='utf-8', errors='replace') as log:
        return log.read()


def state(said):
    """How far a command is, from the end of what it SAID: tests that have ended, or its last line."""
    rows = RESULTS.findall(said)
    if rows:
        done = '%d tests done' % sum(len(each) for each, dummy in rows)
        percent = [each for dummy, each in rows if each]
        return done + (', %s %%' % percent[-1] if percent else '')
    steps = STEPS.findall(said)
    lines = steps or [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1].rstrip(' *')[:100] if lines else 'no output yet'


def wait(process, part, path, used, every=EVERY):
    """Wait for PROCESS (a subprocess.Popen that writes to the log PATH) and print a line for each EVERY seconds.

    USED gets its processor time. Returns the exit status, negative for a signal.
    """
    began = time.time()
    ended = threading.Event()
    teller = threading.Thread(target=_tell, args=(ended, part, path, began, every))
    teller.daemon = True
    teller.start()
    try:
        dummy, status, usage = os.wait4(process.pid, 0)
    finally:
        ended.set()
        teller.join()
    used.add(usage)
    process.returncode = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return process.returncode


def _tell(ended, part, path, began, every):
    while not ended.wait(every):
        print('   %s: %d s, %s' % (part, time.time() - began, state(text(path))), flush=True)
