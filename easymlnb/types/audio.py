"""Audio files."""

from easymlnb.types.file import File


class Audio(File):
    """An audio file: uploaded or recorded as an input, played as a result. Not decoded.

    As ``File``, it is a hint and a value.
    """

    widget = "audio"
    natives = ()
    reads = ("audio/*",)


Audio.source = Audio
