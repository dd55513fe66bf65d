"""Traits of a server that serves given bundles, and for how it stops."""

from traitlets import Bool, Float, HasTraits, List, TraitError, Unicode


class BundleSettings(HasTraits):
    """Traits of the extension for ``easymlnb serve-bundle`` and for stopping."""

    bundles = List(
        Unicode(),
        help="Bundles to serve, and nothing else: files, or folders with zip files. Callers can "
        "only call services, and all routes are also at the root. Set by easymlnb serve-bundle.",
    ).tag(config=True)
    trust_cluster = Bool(
        False,
        help="With bundles: everyone who reaches the port may call, without a login. The cluster "
        "decides who can reach it.",
    ).tag(config=True)
    credentials_folder = Unicode(
        help="With bundles: folder with one file for each credential of the services, such as a "
        "mounted Kubernetes secret."
    ).tag(config=True)
    drain_seconds = Float(
        5.0, min=0.0, help="Seconds that running calls have to finish when the server stops."
    ).tag(config=True)

    def check_bundles(self) -> None:
        """Raise ``TraitError`` for settings that need ``bundles``, without any."""
        for name in ("trust_cluster", "credentials_folder"):
            if getattr(self, name) and not self.bundles:
                raise TraitError(
                    f"EasyMLNB.{name} is only for servers that serve given bundles. Start one: "
                    "easymlnb serve-bundle BUNDLE"
                )
