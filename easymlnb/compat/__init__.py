"""Other systems' code and clients, unchanged on easymlnb."""
