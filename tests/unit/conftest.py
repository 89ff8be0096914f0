"""No unit test cuts the power, and what a killed process wrote is there: none waits for the disk, which on a busy machine takes minutes.

The calls are made all the same, and fail for what is no open file. tests/machines cuts the power.
"""
import os


def _written(fd):
    """In place of os.fsync."""
    os.fstat(fd)


os.fsync = _written
