"""Traits for API keys, limits, usage and the audit log."""

from traitlets import HasTraits, Unicode


class IdentitySettings(HasTraits):
    """Traits of the extension for who may call, and how often."""

    audit_file = Unicode(
        help="A file to which each event of the audit log is also appended, as a line of JSON."
    ).tag(config=True)
