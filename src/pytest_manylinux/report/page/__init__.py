"""The HTML page: its template, style and script, and what is put into them."""
