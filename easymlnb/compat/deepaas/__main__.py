"""``python -m easymlnb.compat.deepaas``: the command ``deepaas-cli``."""

import sys

from easymlnb.compat.deepaas.command import main

sys.exit(main())
