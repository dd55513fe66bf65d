"""Back up, restore and clean up what a server stores, on the command line."""
