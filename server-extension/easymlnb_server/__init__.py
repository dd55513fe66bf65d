"""The server side of easymlnb: a Jupyter server extension."""
