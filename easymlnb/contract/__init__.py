"""What kernel side and server side agree on; the only part of ``easymlnb`` the server imports."""
