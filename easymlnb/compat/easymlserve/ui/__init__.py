"""User interfaces: a form whose values ``prepare_request`` makes a request of.

``process_response`` makes results to show of the response.
"""

from easymlnb.compat.easymlserve.ui.interfaces import BaseEasyMLUI as BaseEasyMLUI
from easymlnb.compat.easymlserve.ui.interfaces import GradioEasyMLUI as GradioEasyMLUI
from easymlnb.compat.easymlserve.ui.interfaces import QtEasyMLUI as QtEasyMLUI

__all__ = ["BaseEasyMLUI", "GradioEasyMLUI", "QtEasyMLUI"]
