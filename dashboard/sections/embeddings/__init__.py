"""The sections of the page Embeddings."""
