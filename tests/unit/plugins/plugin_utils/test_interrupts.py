"""Signals while a worker of Ansible is at work: it cleans up, then they do what they did."""
import os
import signal
import threading

import pytest

from ansible_collections.lifeboat.docker.plugins.plugin_utils import interrupts


@pytest.fixture(autouse=True)
def handlers():
    """Whatever a test does, the handlers of pytest come back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    yield
    signal.alarm(0)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_without_a_signal_nothing_is_left_behind():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with interrupts.signals():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_work_cleans_up_and_then_the_old_handler_is_called(number):
    order = []
    signal.signal(number, lambda caught, dummy: order.append(('handler', caught)))
    with pytest.raises(interrupts.Interrupted):
        with interrupts.signals():
            try:
                os.kill(os.getpid(), number)
                signal.pause()
            finally:
                os.kill(os.getpid(), number)            # a second one while it cleans up does not end it
                order.append('cleaned up')
    assert order == ['cleaned up', ('handler', number)]
    assert signal.alarm(0) == 0, 'the alarm that ends a cleaning up that hangs is off'


def test_it_is_no_exception_that_somebody_catches_on_the_way():
    assert not issubclass(interrupts.Interrupted, Exception)


def test_outside_of_the_main_thread_it_does_nothing():
    ended = []

    def work():
        with interrupts.signals():
            ended.append(True)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]
