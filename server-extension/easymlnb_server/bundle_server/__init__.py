"""``easymlnb serve-bundle``: a server for given bundles, which container images run."""
