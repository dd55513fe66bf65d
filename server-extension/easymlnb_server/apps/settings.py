"""What an administrator may set about app pages."""

from traitlets import Float, HasTraits, Integer

from easymlnb_server.apps.apps import Apps
from easymlnb_server.apps.places import Limits


class AppSettings(HasTraits):
    """Traits of the extension, kept apart because they are many."""

    app_kernels = Integer(2, help="Form kernels kept warm; 0 switches app pages off.").tag(
        config=True
    )
    app_pages_per_kernel = Integer(
        50, help="Pages that one form kernel carries; 1 gives each page a process of its own."
    ).tag(config=True)
    app_kernel_memory = Integer(2**30, help="Bytes of memory that a form kernel may take.").tag(
        config=True
    )
    app_pages = Integer(500, help="App pages that may be open in all.").tag(config=True)
    app_public_pages = Integer(250, help="App pages that visitors without login may open.").tag(
        config=True
    )
    app_pages_per_service = Integer(200, help="Pages of one app that may be open.").tag(config=True)
    app_pages_per_visitor = Integer(10, help="App pages that one visitor may have open.").tag(
        config=True
    )
    app_unopened_timeout = Float(
        60.0, help="Seconds for which a place is kept for a page that never comes."
    ).tag(config=True)
    app_lost_timeout = Float(
        120.0, help="Seconds for which the place of a page that lost its connection is kept."
    ).tag(config=True)
    app_idle_timeout = Float(
        4 * 3600.0, help="Seconds after which an open page that nobody uses is put to rest."
    ).tag(config=True)
    app_message_limit = Integer(
        2**20, help="Bytes of one websocket message of a page; files go another way."
    ).tag(config=True)

    def make_apps(self) -> Apps:
        """Return the apps as they are set."""
        limits = Limits(
            pages=self.app_pages,
            public=self.app_public_pages,
            app=self.app_pages_per_service,
            visitor=self.app_pages_per_visitor,
            unopened=self.app_unopened_timeout,
            grace=self.app_lost_timeout,
            idle=self.app_idle_timeout,
        )
        return Apps(
            kernels=self.app_kernels,
            carry=max(1, self.app_pages_per_kernel),
            memory=self.app_kernel_memory,
            limits=limits,
            message_limit=self.app_message_limit,
        )
