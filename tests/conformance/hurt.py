"""Damages files of a copy of a dead host and puts them back."""
import os
import shutil


class Hurt(object):
    """FACTS: of the host SUBJECT while it is whole; None where no damage asks for them."""

    def __init__(self, subject, facts):
        self.subject = subject
        self.facts = facts
        self.facts_images = {item['id']: item for item in facts['images']} if facts else {}
        self.undo = []

    def container(self, role):
        """The facts of the container that has the ROLE (subject.Subject.ROLES)."""
        return next(item for item in self.facts['containers'] if item['name'] == self.subject.ROLES[role])

    def aside(self, path):
        """Take a file or folder away; returns where it is now."""
        parked = '%s.parked-%d' % (self.subject.host_root.rstrip('/'), len(self.undo))
        os.rename(path, parked)

        def back():
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)
            os.rename(parked, path)
        self.undo.append(back)
        return parked

    def write(self, path, data):
        """Replace a file's content: DATA is the new one, or a function of the old one."""
        parked = self.aside(path)
        if callable(data):
            with open(parked, 'rb') as old:
                data = data(old.read())
        with open(path, 'wb') as out:
            out.write(data)

    def add(self, path, data=None):
        """A new file, or a new folder without DATA."""
        if data is None:
            os.mkdir(path)
            self.undo.append(lambda: shutil.rmtree(path))
        else:
            with open(path, 'wb') as out:
                out.write(data)
            self.undo.append(lambda: os.unlink(path))

    def empty_folder(self, path):
        """The folder is there and has nothing in it."""
        self.aside(path)
        os.mkdir(path)

    def heal(self):
        """Everything is as it was."""
        for back in reversed(self.undo):
            back()
        self.undo = []
