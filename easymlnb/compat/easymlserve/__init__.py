"""EasyMLServe's classes: its services and user interfaces run here with another import.

``EasyMLServer(...).deploy()`` makes a service, ``GradioEasyMLUI(...).run()`` a service with a form.
``docs/guides/easymlserve.md`` has an example.
"""

from easymlnb.compat.easymlserve.running import install as install
from easymlnb.compat.easymlserve.running import run as run
from easymlnb.compat.easymlserve.server import EasyMLServer as EasyMLServer
from easymlnb.compat.easymlserve.service import EasyMLService as EasyMLService
from easymlnb.compat.easymlserve.ui import GradioEasyMLUI as GradioEasyMLUI
from easymlnb.compat.easymlserve.ui import QtEasyMLUI as QtEasyMLUI

__all__ = ["EasyMLServer", "EasyMLService", "GradioEasyMLUI", "QtEasyMLUI"]
