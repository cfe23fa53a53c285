"""DataFrame -> plotly Figure: pure functions, drawn by the pages and by the report alike."""
