"""Traits for app pages."""

from traitlets import Float, HasTraits, Integer


class AppSettings(HasTraits):
    """Traits of the extension for app pages."""

    app_kernels = Integer(
        2, help="Number of form kernels to keep ready; 0 turns app pages off."
    ).tag(config=True)
    app_pages_per_kernel = Integer(
        100, help="Maximum number of pages per form kernel; 1 runs each page in its own process."
    ).tag(config=True)
    app_kernel_memory = Integer(2**30, help="Memory limit of a form kernel in bytes.").tag(
        config=True
    )
    app_pages = Integer(500, help="Maximum number of open app pages in total.").tag(config=True)
    app_public_pages = Integer(
        250, help="Maximum number of open app pages of visitors without a login."
    ).tag(config=True)
    app_pages_per_service = Integer(200, help="Maximum number of open pages per app.").tag(
        config=True
    )
    app_pages_per_visitor = Integer(10, help="Maximum number of open app pages per visitor.").tag(
        config=True
    )
    app_open_timeout = Float(
        60.0, help="Seconds to keep a session for a page that does not connect."
    ).tag(config=True)
    app_reconnect_timeout = Float(
        120.0, help="Seconds to keep the session of a page that lost its connection."
    ).tag(config=True)
    app_idle_timeout = Float(
        4 * 3600.0, help="Seconds of inactivity after which an open page is paused."
    ).tag(config=True)
    app_message_limit = Integer(
        2**20,
        help="Maximum bytes of one WebSocket message from a page; files are uploaded separately.",
    ).tag(config=True)
