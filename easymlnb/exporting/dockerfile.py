"""The Dockerfile of an image that serves a bundle."""

from collections.abc import Mapping

from easymlnb.exporting.models import BUNDLE, HOME, PORT, PROGRAMS, USER

TEMPLATE = """\
# Written by "easymlnb export image".
ARG BASE={base}

FROM ${{BASE}} AS packages
# A package index of your own. It stays in the history of this stage: no passwords in it.
ARG PIP_INDEX_URL
COPY requirements.lock /build/
{wheels}RUN python3 -m venv --without-pip {programs} \\
 && python3 -m pip --python {programs}/bin/python install --no-cache-dir --no-deps \\
    --require-hashes {source}-r /build/requirements.lock

FROM ${{BASE}}
LABEL {labels}
COPY --from=packages {programs} {programs}
# OpenShift runs images as any user of group 0.
RUN mkdir -p {home} && chgrp 0 {home} && chmod 0770 {home}
COPY bundle.zip {bundle}
ENV PATH={programs}/bin:$PATH \\
    HOME={home} \\
    PORT={port} \\
    EASYMLNB_IP=0.0.0.0 \\
    PYTHONUNBUFFERED=1
WORKDIR {home}
USER {user}:0
EXPOSE {port}
STOPSIGNAL SIGTERM
ENTRYPOINT ["easymlnb", "serve-bundle", "{bundle}"]
"""


def render(base: str, labels: Mapping[str, str], *, wheels: bool, offline: bool) -> str:
    """Return the Dockerfile.

    Parameters
    ----------
    base
        The image to start from, with Python and pip.
    labels
        The labels of the image.
    wheels
        Whether the context has a folder of wheels.
    offline
        Whether this folder has all packages, so that no index is needed.
    """
    source = "--find-links /build/wheels " if wheels else ""
    return TEMPLATE.format(
        base=base,
        wheels="COPY wheels/ /build/wheels/\n" if wheels else "",
        source=("--no-index " if offline else "") + source,
        labels=" \\\n      ".join(f"{name}={quoted(value)}" for name, value in labels.items()),
        programs=PROGRAMS,
        home=HOME,
        bundle=BUNDLE,
        port=PORT,
        user=USER,
    )


def quoted(text: str) -> str:
    """Return a text in double quotes, in which nothing is replaced."""
    printable = "".join(one if one.isprintable() else " " for one in text)
    for character in ("\\", '"', "$"):
        printable = printable.replace(character, f"\\{character}")
    return f'"{printable}"'
