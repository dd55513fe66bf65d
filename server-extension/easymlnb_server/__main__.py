"""``python -m easymlnb_server``: a Jupyter server with this extension, for serving."""

from easymlnb_server.app import main

if __name__ == "__main__":
    main()
