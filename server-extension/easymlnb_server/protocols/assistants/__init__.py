"""The pages that say how to connect an assistant."""
