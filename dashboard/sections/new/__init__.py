"""The sections of the page New experiment."""
