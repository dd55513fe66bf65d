"""Export a bundle: a container image that serves it, and manifests for clusters."""
