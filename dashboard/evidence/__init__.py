"""The sections of the page Evidence, one a file; `asked` is what the reader wants compared, which all of them answer."""
