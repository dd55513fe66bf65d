"""The trait of credentials."""

from traitlets import HasTraits, Unicode


class CredentialSettings(HasTraits):
    """Traits of the extension for credentials."""

    credentials_key_file = Unicode(
        help="File with the key that encrypts credentials; default on a personal server: "
        "credentials.key in state_dir, created when it is needed."
    ).tag(config=True)
