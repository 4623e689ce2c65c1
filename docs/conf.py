"""Sphinx: what the pages are made of. `make docs` builds them, warnings as errors."""

import sys
import warnings
from pathlib import Path

from sphinx_gallery.sorting import ExplicitOrder

import sk_amips

project = "sk_amips"
author = "The sk_amips developers"
copyright = f"2026, {author}"
version = release = sk_amips.__version__

sys.path.append(str(Path(__file__).parent / "_extensions"))
extensions = [
    "mathml",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_*"]
html_math_renderer = "mathml"
smartquotes = False
suppress_warnings = ["config.cache"]  # the gallery's order is an object

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

templates_path = ["_templates"]
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
toc_object_entries_show_parents = "hide"
html_title = "sk_amips"
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
alone = ("install", "quickstart", "when_not", "faq", "changes", "contributing")
html_sidebars = {page: [] for page in alone}
html_static_path = ["_static"]
html_css_files = ["sk_amips.css"]

# Agg draws to files: a plt.show() would say that it cannot open a window.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sk_amips",),
    "abort_on_example_error": True,
    "capture_repr": (),
    "download_all_examples": False,
    "min_reported_time": 1,
    "show_signature": False,
    "within_subsection_order": ExplicitOrder(
        [
            "quickstart.py",
            "plot_support_function.py",
            "target_recall.py",
            "plot_recommender.py",
            "plot_text_pipeline.py",
            "plot_grid_search.py",
            "*",
        ]
    ),
}


def skip_inherited(app, what, name, obj, skip, options):
    """Leave out what scikit-learn documents itself, and fields of named tuples."""
    module = getattr(obj, "__module__", None) or ""
    others = callable(obj) and not module.startswith("sk_amips")
    return skip or others or type(obj).__name__ == "_tuplegetter"


def setup(app):
    app.connect("autodoc-skip-member", skip_inherited)
