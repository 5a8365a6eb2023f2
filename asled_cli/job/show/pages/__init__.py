"""Self-contained HTML pages: the only user of jinja2, loaded when a page is asked for."""
