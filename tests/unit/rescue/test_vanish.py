"""The end of a sender whose controller is gone: nothing of its spool stays, whatever its other threads do meanwhile."""
import os
import threading
import time

from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import sender


def test_a_thread_that_goes_on_writing_leaves_nothing(tmp_path):
    for number in range(10):
        folder = str(tmp_path / ('lifeboat-%d' % number))
        os.mkdir(folder)
        for name in range(20):
            open(os.path.join(folder, 'chunk-%d' % name), 'w').close()
        pid = os.fork()
        if not pid:
            os.setsid()
            threading.Thread(target=write_for_ever, args=[folder], daemon=True).start()
            sender.vanish(folder)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == 9
    until = time.monotonic() + 20
    while os.listdir(str(tmp_path)) and time.monotonic() < until:
        time.sleep(0.02)
    assert os.listdir(str(tmp_path)) == []


def write_for_ever(folder):
    number = 0
    while True:
        number += 1
        try:
            open(os.path.join(folder, 'more-%d' % number), 'w').close()
        except OSError:
            continue
