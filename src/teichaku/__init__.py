"""Teichaku: documents and an open LLM go in; a model that knows the documents comes out."""

__version__ = "0.1.0"
