"""How the documentation is built: `make docs`, every warning an error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import carmine

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "carmine"
author = "the carmine maintainers"
copyright = author
release = version = carmine.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
html_theme = "furo"
html_title = f"carmine {release}"
exclude_patterns = ["_build"]

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Wire", "notes"), ("Invariants", "notes")]
napoleon_use_ivar = True

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "inherited-members": False, "show-inheritance": False}

# A reference to a public name, `carmine.X`, must lead somewhere. Annotations name much more: type variables, aliases,
# rooms without a page, and the standard library, which is not looked up over the network.
nitpick_ignore_regex = [("py:.*", r"(?!carmine\.\w+$).*"), ("py:.*", r"carmine\.[a-z]\w*")]

_CODE = re.compile(r"(?<![`:])`([^`\n]+)`(?![`_])")


def quote(_app: Sphinx, _what: str, _name: str, _thing: object, _options: object, lines: list[str]) -> None:
    """Write a docstring's `code` as reStructuredText does, before napoleon takes a colon in it for a type's end."""
    lines[:] = [_CODE.sub(r"``\1``", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Listen before napoleon does."""
    app.connect("autodoc-process-docstring", quote, priority=400)
