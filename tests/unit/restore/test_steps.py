import os
import signal

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import steps


class Scene(object):
    """Steps that note what they do and what is taken back."""

    def __init__(self):
        self.log = []

    def step(self, name, fail=None, fail_undo=False):
        def do(undo):
            self.log.append(name)
            undo.append(lambda: self.back(name, fail_undo))
            if fail is not None:
                fail()
        return steps.Step('volume', name, 'create', 'Create %s.' % name, do)

    def back(self, name, fail):
        self.log.append('-' + name)
        if fail:
            raise LifeboatError('%s stays.' % name)


def boom(error):
    def fail():
        raise error
    return fail


def test_steps_in_order_and_kept_ones_left_alone():
    scene = Scene()
    steps.run([scene.step('a'), steps.Step('image', 'i', 'keep', ''), scene.step('b')])
    assert scene.log == ['a', 'b']


@pytest.mark.parametrize('error', [LifeboatError('no.'), OSError(28, 'No space left on device'), KeyboardInterrupt()])
def test_failure_takes_back_the_last_first(error):
    scene = Scene()
    with pytest.raises(LifeboatError) as caught:
        steps.run([scene.step('a'), scene.step('b'), scene.step('c', boom(error)), scene.step('d')])
    assert scene.log == ['a', 'b', 'c', '-c', '-b', '-a']
    assert str(caught.value).startswith('volume c: ') and 'taken back' in str(caught.value)


def test_keep_partial():
    scene = Scene()
    with pytest.raises(LifeboatError) as caught:
        steps.run([scene.step('a'), scene.step('b', boom(LifeboatError('no.')))], keep_partial=True)
    assert scene.log == ['a', 'b'] and 'kept' in str(caught.value)


def test_an_undo_that_fails_does_not_stop_the_others():
    scene = Scene()
    with pytest.raises(LifeboatError) as caught:
        steps.run([scene.step('a'), scene.step('b', fail_undo=True), scene.step('c', boom(LifeboatError('no.')))])
    assert scene.log[-1] == '-a' and 'b stays.' in str(caught.value)


def test_sigterm_cleans_up_and_the_handler_is_put_back():
    scene = Scene()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(LifeboatError) as caught:
        steps.run([scene.step('a'), scene.step('b', lambda: os.kill(os.getpid(), signal.SIGTERM) or signal.sigtimedwait([], 1))])
    assert 'interrupted' in str(caught.value) and scene.log[-1] == '-a'
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_mistake_of_ours_is_not_hidden_but_undone():
    scene = Scene()
    with pytest.raises(ZeroDivisionError):
        steps.run([scene.step('a', boom(ZeroDivisionError()))])
    assert scene.log == ['a', '-a']


def test_an_interruption_before_the_first_step_is_one_too():
    def none_yet():
        yield from ()
        raise steps.Interrupted()
    with pytest.raises(steps.Stopped):
        steps.run(none_yet())
