"""Stand-ins for other projects, so that code written for them runs here."""
