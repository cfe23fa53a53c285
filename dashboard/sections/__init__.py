"""The sections of the longer pages, a folder a page and a file a section; `asked` is what the reader chose."""
