"""The line under the buttons of a form."""

from easymlnb.forms.call_protocol import Progress
from easymlnb.forms.run_bar import RunBar


def test_the_line_is_html_with_and_without_a_note() -> None:
    bar = RunBar(lambda: None, lambda: None)
    text = bar.widget.children[-1]
    bar.start()
    bar.progress(Progress(0.5, "<b>step</b>"), 0.0)
    line = '<div class="em-line" role="status"><span>&lt;b&gt;step&lt;/b&gt;</span></div>'
    assert text.value == line
    bar.note("All kernels are in use.")
    assert text.value == f'{line}<div class="em-help" role="status">All kernels are in use.</div>'
