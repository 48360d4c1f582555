"""How the raw tables become the catalogs and the questions of this folder; run by `build.py`."""
