"""The quality gate: static checks of a notebook before it is published. Runs no code of it."""
