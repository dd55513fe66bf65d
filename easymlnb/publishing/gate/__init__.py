"""The quality gate: static checks of a notebook before it is published. Does not run its code."""
