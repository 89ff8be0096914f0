"""Files that real engines wrote (Docker 20.10.24, containerd 1.6.20), and what that engine said about them."""
import gzip
import os

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'data')


def raw(*path):
    with open(os.path.join(FOLDER, *path), 'rb') as source:
        return source.read()


def unpacked(*path):
    return gzip.decompress(raw(*path))
