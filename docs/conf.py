"""How the documentation is built: ``tox -e docs``.

Nothing is downloaded: no page needs the network, and pictures are made by
scripts beforehand. Warnings are errors.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / '_ext'))

project = 'napari-samnet'
author = 'napari-samnet developers'
project_copyright = author
release = version_of('napari-samnet')
version = release.split('.dev', maxsplit=1)[0]

extensions = [
    'figures',
    'myst_parser',
    'numpydoc',
    'sphinx.ext.autodoc',
    'sphinx.ext.mathjax',
    'sphinx_copybutton',
    'sphinx_design',
]
source_suffix = {'.md': 'markdown'}
exclude_patterns = ['_build', '_ext', 'images', 'figures', 'screenshots']

myst_enable_extensions = ['attrs_inline', 'colon_fence', 'dollarmath']
myst_heading_anchors = 3
myst_links_external_new_tab = False

autosummary_generate = False
autodoc_member_order = 'bysource'
autodoc_typehints = 'none'
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = 'napari_sphinx_theme'
html_title = project
html_logo = 'images/logo.svg'
html_favicon = 'images/logo.svg'
html_css_files = ['pages.css']
html_static_path = ['_static']
html_show_sourcelink = False
html_sidebars = {
    'index': [],
    '**': ['sidebar-nav-bs.html'],
}
html_theme_options = {
    'github_url': 'https://github.com/napari-samnet/napari-samnet',
    'navbar_start': ['navbar-logo'],
    'navbar_end': ['theme-switcher', 'navbar-icon-links'],
    'navbar_persistent': ['search-button-field'],
    'show_nav_level': 2,
    'show_toc_level': 2,
}

copybutton_prompt_text = r'>>> |\.\.\. |\$ '
copybutton_prompt_is_regexp = True

# Looked at by `tox -e links` alone.
linkcheck_anchors = False
linkcheck_timeout = 20
linkcheck_ignore = [
    # There from the first release on.
    r'https://(github\.com|raw\.githubusercontent\.com)/napari-samnet/.*',
    r'https://napari-samnet\.github\.io/.*',
]
