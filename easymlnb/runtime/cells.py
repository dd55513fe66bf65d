"""The first and the last cell of a worker, around those of its bundle."""

import os

from easymlnb.contract.frames import Hello, Offer, pack
from easymlnb.definition import DEFINED
from easymlnb.runtime import loop, notebook
from easymlnb.runtime.bars import report_bars
from easymlnb.runtime.context import limit_prints
from easymlnb.runtime.home import MARK, Home, end, outlive_parent
from easymlnb.runtime.link import Link
from easymlnb.runtime.worker import Worker

CELL_OUTPUT_LIMIT = 1_000_000
"""Characters that one cell of a bundle may print; the log of a deployment stays readable."""


def prepare() -> None:
    """First cell of a worker: bound what the bundle's cells may print, each anew."""
    from IPython.core.getipython import get_ipython

    limit_prints(CELL_OUTPUT_LIMIT)
    shell = get_ipython()
    assert shell is not None
    shell.events.register("pre_run_cell", lambda info: limit_prints(CELL_OUTPUT_LIMIT))


def serve() -> None:
    """Last cell of a worker: dial home, answer calls until told to leave, end the process.

    A server that is lost is waited for, as long as it said beforehand.
    """
    report_bars()  # it may import, which no caller shall wait for
    notebook.follow()  # the settings of the last cell
    loop.leave_thread()
    home = Home()
    link: Link | None = home.dial()
    outlive_parent()
    specs = tuple(service.spec for service in DEFINED.values())
    hello = pack(Hello(kernel=os.environ[MARK], source="")) + pack(Offer(specs=specs))
    try:
        while link is not None:
            link.send(hello)
            back = Worker(link, dict(DEFINED)).run()
            link = home.dial_again(back) if back is not None else None
    finally:
        # Whatever went wrong: without its link this process is of no use to anybody.
        end()
