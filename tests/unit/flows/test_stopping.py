"""A Ctrl-C is not lost where a library catches everything."""

import os
import signal

import pytest

from mlops_bikeshare.flows.process import stopping


def test_a_ctrl_c_that_was_swallowed_is_raised_at_the_next_look() -> None:
    with stopping.heard():
        stopping.heed()
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.sigtimedwait([], 0.2)
        except BaseException:  # what an import of a library may do
            swallowed = True
        assert swallowed
        with pytest.raises(KeyboardInterrupt):
            stopping.heed()


def test_a_ctrl_c_of_before_is_not_one_of_the_next_command() -> None:
    with stopping.heard(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with stopping.heard():
        stopping.heed()
