"""The sections of a recipe that name a model: the one that writes, judges or learns."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from teichaku.recipes.section import Section


class Price(Section):
    """What a teacher costs, by a million tokens."""

    input: float = Field(0.0, ge=0, description="A million tokens of prompts.")
    output: float = Field(0.0, ge=0, description="A million tokens of replies.")
    currency: str = Field("USD", description="As it is shown; all models of a recipe have one.")


class LlamaCpp(Section):
    """A GGUF model in process, through llama.cpp."""

    backend: Literal["llama_cpp"]
    model: str = Field(
        description="A packaged name (teichaku models), a Hugging Face name, or a GGUF file."
    )
    context_tokens: int = Field(4096, ge=256, description="Context of one slot; costs memory.")
    slots: int | None = Field(None, ge=1, description="Requests at a time; none: one.")
    speculate: bool = Field(
        False, description="Draft what stands in the prompt already: for replies that repeat it."
    )
    licence: str = ""


class Batch(Section):
    """OpenAI's batch format: requests as files, replies within hours and often for less."""

    folder: str = Field("batches", description="Where the files are, in the run's folder.")
    service: bool = Field(
        False, description="Hand them in and fetch them; else you carry them by hand."
    )
    window: str = Field("24h", description="In what time the service promises to be done.")
    poll_seconds: float = Field(30.0, gt=0, description="How often it is asked whether it is.")


class Http(Section):
    """Any OpenAI-compatible server."""

    backend: Literal["http"]
    model: str = Field(description="The name that the server knows.")
    base_url: str | Annotated[list[str], Field(min_length=1)] = Field(
        description="Such as http://localhost:8000/v1; a list: servers of the same model."
    )
    api_key_env: str = Field(
        "", description="Name of the environment variable with the key; never the key itself."
    )
    max_concurrency: int = Field(
        256, ge=1, description="Requests in flight at a time, at most; it adapts to the server."
    )
    max_tokens_in_flight: int = Field(
        0, ge=0, description="Tokens in flight at a time, about; 0: no limit."
    )
    samples_per_request: int = Field(
        1, ge=1, description="Samples of one prompt that are asked for at once (n)."
    )
    batch: Batch | None = Field(None, description="Send files in OpenAI's batch format instead.")
    timeout_seconds: float = Field(600.0, gt=0, description="How long one request may take.")
    max_retries: int = Field(6, ge=0, description="Retries of one request before it is given up.")
    structured: Literal["auto", "json_schema", "prompt"] = Field(
        "auto", description="How JSON is asked for; auto falls back to the prompt."
    )
    extra: dict[str, Any] = Field({}, description="More fields for the request body.")
    price: Price = Price()
    licence: str = ""

    @property
    def base_urls(self) -> list[str]:
        """The servers, the first of which gives the model its identity."""
        return [self.base_url] if isinstance(self.base_url, str) else self.base_url


class Transformers(Section):
    """A model through transformers: the student, on CPU or CUDA."""

    backend: Literal["transformers"]
    model: str = Field(description="A packaged name, a Hugging Face name, or a folder.")
    batch_size: int = Field(32, ge=1, description="Answers generated at a time.")
    licence: str = ""


class Scripted(Section):
    """A deterministic stand-in without weights: to try a recipe out in seconds."""

    backend: Literal["scripted"]
    model: str = "scripted"
    seconds: float = Field(0.0, ge=0, description="How long every reply takes.")
    price: Price = Price()
    licence: str = ""


class SameAs(Section):
    """The model of another role."""

    model: Literal["teacher"]


def _judge_kind(judge: Any) -> str:
    """Which of the two a judge is meant to be, so that its mistakes are told as that one's.

    The brackets tell a tag from a key where a mistake is told.
    """
    given = judge if isinstance(judge, dict) else dict(judge) if isinstance(judge, Section) else {}
    same = "backend" not in given and (given.get("model") == "teacher" or len(given) < 2)
    return "[SameAs]" if same else "[own]"


Chat = Annotated[LlamaCpp | Http | Scripted, Field(discriminator="backend")]
Judge = Annotated[
    Annotated[Chat, Tag("[own]")] | Annotated[SameAs, Tag("[SameAs]")], Discriminator(_judge_kind)
]
StudentModel = Annotated[Transformers | Scripted, Field(discriminator="backend")]


class WithLimit(Section):
    """What a judge or a further model may be given beside what it is."""

    max_tokens: int | None = Field(
        None, ge=1, description="Longest reply, thinking included; none: as of the others."
    )


class LimitedLlamaCpp(LlamaCpp, WithLimit):
    """A GGUF model in process, through llama.cpp."""


class LimitedHttp(Http, WithLimit):
    """Any OpenAI-compatible server."""


class LimitedTransformers(Transformers, WithLimit):
    """A model through transformers, on CPU or CUDA."""


class LimitedScripted(Scripted, WithLimit):
    """A deterministic stand-in without weights: to try a recipe out in seconds."""


_WITHOUT_LIMIT: dict[type[Section], type[Section]] = {
    LimitedLlamaCpp: LlamaCpp,
    LimitedHttp: Http,
    LimitedTransformers: Transformers,
    LimitedScripted: Scripted,
}

#: A model that only judges, beside the recipe's own judge.
FurtherJudge = Annotated[
    LimitedLlamaCpp | LimitedHttp | LimitedScripted, Field(discriminator="backend")
]
#: A model that is only asked.
EvaluatedModel = Annotated[
    LimitedLlamaCpp | LimitedHttp | LimitedTransformers | LimitedScripted,
    Field(discriminator="backend"),
]


def without_limit(config: Any) -> Any:
    """The model alone: it is the same one however long its replies may be."""
    plain = _WITHOUT_LIMIT.get(type(config))
    return plain(**config.model_dump(exclude={"max_tokens"})) if plain else config
