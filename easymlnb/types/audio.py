"""Audio files."""

from easymlnb.types.file import File


class Audio(File):
    """An audio file: uploaded or recorded as an input, played as a result. It is not decoded.

    It is a hint and a value; parameters are those of ``File``.
    """

    widget = "audio"
    natives = ()
    reads = ("audio/*",)


Audio.source = Audio
