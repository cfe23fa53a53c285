"""The sections of the page Evidence."""
