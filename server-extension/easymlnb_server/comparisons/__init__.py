"""Compare two versions of a service on the same inputs."""
